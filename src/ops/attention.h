// Attention, in the forms whose kernels need no memory for the N×N scores.
#pragma once

#include <optional>
#include <utility>

#include "graph/graph.h"

namespace q3vl {

/// Full attention of every token of a batch row with every other: q, k, v [batch, sequence, num_heads · head_dim] → the
/// same shape. No mask exists: on the CPU only the unmasked form is computed in tiles.
Value full_attention(Graph& g, const Scope& s, const Value& q, const Value& k, const Value& v, std::int64_t num_heads);

/// The cache of one layer, [batch, kv_heads, tokens, head_dim] each; or the scales of one that is int8, [1, kv_heads,
/// 1, head_dim] float32 each.
struct KeyValue {
  Value key;
  Value value;
};

/// How many tokens each row and the whole batch have, the new ones included: int32.
struct SequenceLengths {
  Value last_index;  ///< [batch]: each row's attended tokens, less one
  Value total;       ///< scalar: the length of the attention mask
};

struct GroupedHeads {
  std::int64_t num_heads;
  std::int64_t num_key_value_heads;
  std::int64_t head_dim;
};

/// Causal attention over the cache and the new tokens, several query heads sharing a key and value head. q, k and v
/// [batch, sequence, heads · head_dim] are rotated already. Returns the output, shaped as q, and the cache with the new
/// tokens in it. With `scales` the cache is int8, a value being code · scale of its channel; what is beyond 127 scales
/// is clipped.
std::pair<Value, KeyValue> grouped_query_attention(Graph& g, const Scope& s, const Value& q, const Value& k,
                                                   const Value& v, const KeyValue& past, const SequenceLengths& lengths,
                                                   const GroupedHeads& heads,
                                                   const std::optional<KeyValue>& scales = std::nullopt);

}  // namespace q3vl
