#include "ops/linear.h"

#include "ops/weight.h"

namespace q3vl {

Value linear(const Builder& b, const Scope& s, const Scope& weight, const Value& x, std::int64_t in, std::int64_t out,
             const WeightUse& use, std::int64_t accuracy_level) {
  const WeightRequest& request = b.weights.request(weight.path(), {out, in}, use);
  if (!request.encoding.quantized()) {
    const Value w = as_compute_type(b, weight, weight_part(b, request, 0, {out, in}));
    return b.graph.emit(s, "FusedMatMul", {x, w}, x.type, {{"transB", std::int64_t{1}}}, kMicrosoft);
  }
  std::vector<Value> inputs = {x};
  for (const Value& part : quantized_parts(b, weight, request, request.parts[0].shape)) inputs.push_back(part);
  return b.graph.emit(s, "MatMulNBits", inputs, x.type,
                      {{"K", in},
                       {"N", out},
                       {"bits", std::int64_t{request.encoding.bits}},
                       {"block_size", std::int64_t{request.encoding.block_size}},
                       {"accuracy_level", accuracy_level}},
                      kMicrosoft);
}

Value affine(const Builder& b, const Scope& s, const Value& x, std::int64_t in, std::int64_t out,
             const Shape& stored_shape) {
  const Value weight = float_weight(b, s / "weight", stored_shape, Role::vision_linear, {out, in});
  const Value bias = float_weight(b, s / "bias", {out}, Role::vision_vector);
  return b.graph.emit(s, "Gemm", {x, weight, bias}, x.type, {{"transB", std::int64_t{1}}});
}

Value affine(const Builder& b, const Scope& s, const Value& x, std::int64_t in, std::int64_t out) {
  return affine(b, s, x, in, out, {out, in});
}

}  // namespace q3vl
