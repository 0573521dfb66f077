#include "qwen3vl/kv_cache/kv_cache.h"

#include "contract/graph_io.h"
#include "qwen3vl/kv_cache/cache_scales.h"

namespace q3vl {

std::vector<KeyValue> past_inputs(Graph& g, const TextConfig& cfg, DataType type) {
  const Dims dims = {contract::kBatch, cfg.num_key_value_heads, contract::kPastSequence, cfg.head_dim};
  std::vector<KeyValue> past;
  for (std::int64_t layer = 0; layer < cfg.num_hidden_layers; ++layer) {
    const Value key = g.input(contract::layer_name(contract::kPastKey, layer), type, dims);
    past.push_back({key, g.input(contract::layer_name(contract::kPastValue, layer), type, dims)});
  }
  return past;
}

void present_outputs(Graph& g, const TextConfig& cfg, const std::vector<KeyValue>& present) {
  const Dims dims = {contract::kBatch, cfg.num_key_value_heads, contract::kTotalSequence, cfg.head_dim};
  for (std::int64_t layer = 0; layer < cfg.num_hidden_layers; ++layer) {
    const KeyValue& cache = present.at(static_cast<std::size_t>(layer));
    g.output(contract::layer_name(contract::kPresentKey, layer), cache.key, dims);
    g.output(contract::layer_name(contract::kPresentValue, layer), cache.value, dims);
  }
}

std::optional<KeyValue> scales_of(const Builder& b, const Scope& attention, const Scope& norm, const TextConfig& cfg,
                                  std::int64_t layer, const KeyValue& past, const Value& key_gain) {
  if (past.key.type != DataType::int8) return std::nullopt;
  const GroupedHeads heads = {cfg.num_attention_heads, cfg.num_key_value_heads, cfg.head_dim};
  const Value keys = key_scales(b, attention, key_gain, heads);
  return KeyValue{keys,
                  value_scales(b, attention, attention / "v_proj" / "weight", norm, cfg.hidden_size, layer, heads)};
}

}  // namespace q3vl
