#include "ops/integer_product.h"

#include "ops/shape.h"
#include "ops/weight.h"

namespace q3vl {
namespace {

constexpr std::uint8_t kZeroCode = 128;
constexpr float kLargestCode = 127.0F;

// A row of zeros has codes of zero by any scale but 0; this one's inverse is finite.
constexpr float kLeastMagnitude = 1e-30F;

}  // namespace

QuantizedRows to_integers(Graph& g, const Scope& s, const Value& x) {
  const Attributes by_row = Attributes().set("axes", {-1});
  const Value most = g.emit(s, "ReduceMax", {x}, x.type, by_row);  // [rows, 1]
  const Value least = g.emit(s, "ReduceMin", {x}, x.type, by_row);
  // Twice as fast as the largest of the absolute values, which would be written out first.
  const Value magnitude =
      g.emit(s, "Max", {most, g.emit(s, "Neg", {least}, x.type), g.float_scalar(kLeastMagnitude, x.type)}, x.type);
  const Value scales = multiply(g, s, magnitude, g.float_scalar(1.0F / kLargestCode, x.type));
  const Value of_row = g.emit(s, "Squeeze", {scales, g.integers({-1})}, x.type);  // [rows]
  const Value count = g.emit(s, "Shape", {of_row}, DataType::int64);
  const Value zeros = g.emit(s, "Expand", {g.byte_scalar(kZeroCode), count}, DataType::uint8);
  return {g.emit(s, "QuantizeLinear", {x, of_row, zeros}, DataType::uint8, Attributes().set("axis", 0)), scales};
}

Value integer_product(const Builder& b, const Scope& s, const QuantizedRows& x, const WeightRequest& weight) {
  const auto part = [&](std::size_t index) { return weight_part(b, weight, index, weight.parts[index].shape); };
  const Value product = b.graph.emit(s, "QGemm",
                                     {x.codes, b.graph.float_scalar(1.0F, DataType::float32),
                                      b.graph.byte_scalar(kZeroCode), part(0), part(1), part(2)},
                                     x.scales.type, Attributes().set("transB", 1), kMicrosoft);
  return multiply(b.graph, s, product, x.scales);
}

}  // namespace q3vl
