#include "ops/cast.h"

namespace q3vl {

Value as_type(Graph& graph, const Scope& scope, const Value& x, DataType type) {
  return x.type == type ? x : cast(graph, scope, x, type);
}

Value cast(Graph& graph, const Scope& scope, const Value& x, DataType type) {
  return graph.emit(scope, "Cast", {x}, type, Attributes().set("to", onnx_type(type)));
}

}  // namespace q3vl
