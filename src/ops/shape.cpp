#include "ops/shape.h"

namespace q3vl {

Value add(Graph& g, const Scope& s, const Value& a, const Value& b) {
  return g.emit(s, "Add", {a, b}, a.type);
}
Value subtract(Graph& g, const Scope& s, const Value& a, const Value& b) {
  return g.emit(s, "Sub", {a, b}, a.type);
}
Value multiply(Graph& g, const Scope& s, const Value& a, const Value& b) {
  return g.emit(s, "Mul", {a, b}, a.type);
}
Value divide(Graph& g, const Scope& s, const Value& a, const Value& b) {
  return g.emit(s, "Div", {a, b}, a.type);
}
Value remainder(Graph& g, const Scope& s, const Value& a, const Value& b) {
  return g.emit(s, "Mod", {a, b}, a.type);
}
Value minimum(Graph& g, const Scope& s, const Value& a, const Value& b) {
  return g.emit(s, "Min", {a, b}, a.type);
}
Value maximum(Graph& g, const Scope& s, const Value& a, const Value& b) {
  return g.emit(s, "Max", {a, b}, a.type);
}

Value dimension(Graph& g, const Scope& s, const Value& x, std::int64_t axis) {
  const Value shape = g.emit(s, "Shape", {x}, DataType::int64);
  return gather(g, s, shape, g.scalar(axis));
}

Value range(Graph& g, const Scope& s, const Value& count) {
  return range(g, s, g.scalar(0), count);
}

Value range(Graph& g, const Scope& s, const Value& begin, const Value& end) {
  return g.emit(s, "Range", {begin, end, g.scalar(1)}, DataType::int64);
}

Value reshape(Graph& g, const Scope& s, const Value& x, std::vector<std::int64_t> shape) {
  return reshape(g, s, x, g.integers(std::move(shape)));
}

Value reshape(Graph& g, const Scope& s, const Value& x, const Value& shape) {
  return g.emit(s, "Reshape", {x, shape}, x.type);
}

Value gather(Graph& g, const Scope& s, const Value& x, const Value& indices, std::int64_t axis) {
  return g.emit(s, "Gather", {x, indices}, x.type, Attributes().set("axis", axis));
}

Value unsqueeze(Graph& g, const Scope& s, const Value& x, std::int64_t axis) {
  return g.emit(s, "Unsqueeze", {x, g.integers({axis})}, x.type);
}

Value concat(Graph& g, const Scope& s, const std::vector<Value>& parts, std::int64_t axis) {
  return g.emit(s, "Concat", parts, parts.front().type, Attributes().set("axis", axis));
}

std::vector<Value> split(Graph& g, const Scope& s, const Value& x, std::int64_t parts, std::int64_t axis) {
  return g.emit_many(s, "Split", {x}, std::vector<DataType>(static_cast<std::size_t>(parts), x.type),
                     Attributes().set("axis", axis));
}

Value slice(Graph& g, const Scope& s, const Value& x, const Value& begin, const Value& end, std::int64_t axis) {
  return g.emit(s, "Slice", {x, begin, end, g.integers({axis})}, x.type);
}

}  // namespace q3vl
