#include "ops/embedding_lookup.h"

#include "ops/cast.h"
#include "ops/shape.h"
#include "ops/weight.h"

namespace q3vl {

Value embedding_lookup(const Builder& b, const Scope& s, const Scope& weight, const Value& input_ids, std::int64_t rows,
                       std::int64_t width) {
  Graph& g = b.graph;
  const WeightRequest& request = b.weights.request(weight.path(), {rows, width}, Role::embedding);
  if (!request.encoding.quantized()) {
    const Value found = gather(g, s, weight_part(b, request, 0, {rows, width}), input_ids);
    return found.type == b.target.compute_type ? found : cast(g, s, found, b.target.compute_type);
  }
  // The very bytes that a MatMulNBits of the same matrix reads: a tied lm_head costs nothing twice.
  const auto row_bytes = static_cast<std::int64_t>(request.parts[0].row_bytes);
  std::vector<Value> inputs = quantized_parts(b, weight, request, {rows, row_bytes}, ".rows");
  inputs.insert(inputs.begin() + 1, input_ids);
  const Value found = g.emit(s, "GatherBlockQuantized", inputs, b.target.compute_type,
                             {{"bits", std::int64_t{request.encoding.bits}},
                              {"block_size", std::int64_t{request.encoding.block_size}},
                              {"gather_axis", std::int64_t{0}},
                              {"quantize_axis", std::int64_t{1}}},
                             kMicrosoft);
  if (width % request.encoding.block_size == 0) return found;
  return slice(g, s, found, g.integers({0}), g.integers({width}), 2);  // without the padding of the last block
}

}  // namespace q3vl
