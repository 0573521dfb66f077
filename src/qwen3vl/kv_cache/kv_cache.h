// The key/value cache of the text graph: what goes in and comes out, and, if it is int8, what its codes stand for.
#pragma once

#include <optional>
#include <vector>

#include "config/model_config.h"
#include "ops/attention.h"
#include "ops/builder.h"

namespace q3vl {

/// Declares the graph's inputs of every layer, [batch_size, kv_heads, past_sequence_length, head_dim] of `type`, which
/// is the compute type or int8.
std::vector<KeyValue> past_inputs(Graph& g, const TextConfig& cfg, DataType type);

/// Declares `present`, an entry for each layer, as the graph's outputs: [batch_size, kv_heads, total_sequence_length,
/// head_dim].
void present_outputs(Graph& g, const TextConfig& cfg, const std::vector<KeyValue>& present);

/// The scales of one layer's cache if `past` is int8. `attention` names the layer's attention, `norm` the RMS norm that
/// gives its input; `key_gain` [head_dim] are the gains of the norm over each key.
std::optional<KeyValue> scales_of(const Builder& b, const Scope& attention, const Scope& norm, const TextConfig& cfg,
                                  std::int64_t layer, const KeyValue& past, const Value& key_gain);

}  // namespace q3vl
