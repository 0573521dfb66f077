#include "ops/attention.h"

#include <cmath>

namespace q3vl {

Value full_attention(Graph& g, const Scope& s, const Value& q, const Value& k, const Value& v, std::int64_t num_heads) {
  return g.emit(s, "MultiHeadAttention", {q, k, v}, q.type, {{"num_heads", num_heads}}, kMicrosoft);
}

std::pair<Value, KeyValue> grouped_query_attention(Graph& g, const Scope& s, const Value& q, const Value& k,
                                                   const Value& v, const KeyValue& past, const SequenceLengths& lengths,
                                                   const GroupedHeads& heads) {
  const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(heads.head_dim)));
  const auto out =
      g.emit_many(s, "GroupQueryAttention", {q, k, v, past.key, past.value, lengths.last_index, lengths.total},
                  {q.type, past.key.type, past.value.type},
                  {{"num_heads", heads.num_heads},
                   {"kv_num_heads", heads.num_key_value_heads},
                   {"scale", scale},
                   {"do_rotary", std::int64_t{0}}},
                  kMicrosoft);
  return {out[0], {out[1], out[2]}};
}

}  // namespace q3vl
