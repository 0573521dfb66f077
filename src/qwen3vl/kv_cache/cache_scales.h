// Scales of an INT8 key/value cache, one a channel of each head, from the weights alone: what comes out of a norm has a
// known length, and that says how large keys can be and values are.
#pragma once

#include <cstdint>

#include "ops/attention.h"
#include "ops/builder.h"

namespace q3vl {

/// Scales [1, kv_heads, 1, head_dim] of keys that are a norm's output, with the gains `gain` [head_dim], rotated by
/// halves: no key is ever clipped.
Value key_scales(const Builder& b, const Scope& s, const Value& gain, const GroupedHeads& heads);

/// Scales [1, kv_heads, 1, head_dim] of values that the projection `weight` [kv_heads · head_dim, in] gives from the
/// output of the RMS norm `norm`. Values far beyond those that such inputs make are clipped.
Value value_scales(const Builder& b, const Scope& s, const Scope& weight, const Scope& norm, std::int64_t in,
                   std::int64_t layer, const GroupedHeads& heads);

}  // namespace q3vl
