#include "ops/weight.h"

#include <fmt/format.h>

#include "ops/cast.h"
#include "qwen3vl_export/error.h"

namespace q3vl {

Value weight_part(const Builder& b, const WeightRequest& request, std::size_t part, Shape graph_shape,
                  const std::string& use) {
  const EncodedPart& array = request.parts[part];
  std::string name = array.suffix.empty() ? request.name : request.name + "." + array.suffix;
  name += use;
  return b.graph.weight(name, array.type, std::move(graph_shape), request.blob(part));
}

Value as_compute_type(const Builder& b, const Scope& path, const Value& weight) {
  // In the outermost graph: a Cast inside a loop's body would not be folded away.
  return as_type(b.graph.root(), path, weight, b.target.compute_type);
}

std::vector<Value> quantized_parts(const Builder& b, const Scope& path, const WeightRequest& request,
                                   const Shape& data_shape, const std::string& use) {
  const auto part = [&](std::size_t index, const Shape& shape) { return weight_part(b, request, index, shape, use); };
  std::vector<Value> inputs = {part(0, data_shape),
                               as_compute_type(b, path / ("scales" + use), part(1, request.parts[1].shape))};
  if (!request.encoding.symmetric) inputs.push_back(part(2, request.parts[2].shape));
  return inputs;
}

Value float_weight(const Builder& b, const Scope& path, const Shape& shape, Role role, const Shape& graph_shape) {
  const WeightRequest& request = b.weights.request(path.path(), shape, role);
  if (request.encoding.quantized())
    throw Error(ErrorKind::usage, fmt::format("the recipe encodes {} as {}; it can be stored, float32 or float16",
                                              name_of(role), to_string(request.encoding)));
  return as_compute_type(b, path, weight_part(b, request, 0, graph_shape));
}

Value float_weight(const Builder& b, const Scope& path, const Shape& shape, Role role) {
  return float_weight(b, path, shape, role, shape);
}

}  // namespace q3vl
