#include "ops/attention.h"

#include <cmath>

namespace q3vl {
namespace {

constexpr std::size_t kKeyScaleInput = 12;

}  // namespace

Value full_attention(Graph& g, const Scope& s, const Value& q, const Value& k, const Value& v, std::int64_t num_heads) {
  return g.emit(s, "MultiHeadAttention", {q, k, v}, q.type, Attributes().set("num_heads", num_heads), kMicrosoft);
}

std::pair<Value, KeyValue> grouped_query_attention(Graph& g, const Scope& s, const Value& q, const Value& k,
                                                   const Value& v, const KeyValue& past, const SequenceLengths& lengths,
                                                   const GroupedHeads& heads, const std::optional<KeyValue>& scales) {
  const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(heads.head_dim)));
  std::vector<Value> inputs = {q, k, v, past.key, past.value, lengths.last_index, lengths.total};
  Attributes attributes = Attributes()
                              .set("num_heads", heads.num_heads)
                              .set("kv_num_heads", heads.num_key_value_heads)
                              .set("scale", scale)
                              .set("do_rotary", 0);
  if (scales) {
    inputs.resize(kKeyScaleInput, Value{});  // without rotary tables, positions, bias and sinks
    inputs.push_back(scales->key);
    inputs.push_back(scales->value);
    attributes.set("k_quant_type", "PER_CHANNEL");
    attributes.set("v_quant_type", "PER_CHANNEL");
    attributes.set("kv_cache_bit_width", 8);
  }
  const auto out =
      g.emit_many(s, "GroupQueryAttention", inputs, {q.type, past.key.type, past.value.type}, attributes, kMicrosoft);
  return {out[0], {out[1], out[2]}};
}

}  // namespace q3vl
