#include "ops/linear.h"

#include "ops/shape.h"
#include "ops/weight.h"

namespace q3vl {

const QuantizedRows& LinearInput::integers() {
  if (!integers_) {
    const Value rows = graph_.emit(scope_, "Flatten", {x_}, x_.type, Attributes().set("axis", 2));
    integers_ = to_integers(graph_, scope_, rows);
  }
  return *integers_;
}

Value LinearInput::unflatten(const Scope& s, const Value& rows, std::int64_t width) {
  auto [shape, added] = shapes_.try_emplace(width);
  if (added) {
    const Value leading =
        graph_.emit(scope_ / "shape", "Shape", {x_}, DataType::int64, Attributes().set("start", 0).set("end", 2));
    shape->second = concat(graph_, scope_ / "shape", {leading, graph_.integers({width})}, 0);
  }
  return reshape(graph_, s, rows, shape->second);
}

Value linear(const Builder& b, const Scope& s, const Scope& weight, LinearInput& x, std::int64_t in, std::int64_t out,
             const WeightUse& use, std::int64_t accuracy_level) {
  const WeightRequest& request = b.weights.request(weight.path(), {out, in}, use, x.balanced_by());
  const DataType type = x.value().type;
  if (request.encoding.format == Encoding::Format::w8a8)
    return x.unflatten(s, integer_product(b, s, x.integers(), request), out);
  if (!request.encoding.quantized()) {
    const Value w = as_compute_type(b, weight, weight_part(b, request, 0, {out, in}));
    return b.graph.emit(s, "FusedMatMul", {x.value(), w}, type, Attributes().set("transB", 1), kMicrosoft);
  }
  std::vector<Value> inputs = {x.value()};
  for (const Value& part : quantized_parts(b, weight, request, request.parts[0].shape)) inputs.push_back(part);
  return b.graph.emit(s, "MatMulNBits", inputs, type,
                      Attributes()
                          .set("K", in)
                          .set("N", out)
                          .set("bits", request.encoding.bits)
                          .set("block_size", request.encoding.block_size)
                          .set("accuracy_level", accuracy_level),
                      kMicrosoft);
}

Value affine(const Builder& b, const Scope& s, const Value& x, const Affine& sizes) {
  const Scope weight = s / "weight";
  const Shape matrix = {sizes.out, sizes.in};
  const WeightRequest& request = b.weights.request(
      weight.path(), sizes.stored_shape.empty() ? matrix : sizes.stored_shape, sizes.role, sizes.balanced_by);
  const Value bias = float_weight(b, s / "bias", {sizes.out}, Role::vision_vector);
  if (request.encoding.format == Encoding::Format::w8a8)
    return add(b.graph, s, integer_product(b, s, to_integers(b.graph, s / "quantize", x), request), bias);
  const Value w = as_compute_type(b, weight, weight_part(b, request, 0, matrix));
  return b.graph.emit(s, "Gemm", {x, w, bias}, x.type, Attributes().set("transB", 1));
}

}  // namespace q3vl
