#include "ops/cast.h"

namespace q3vl {

Value cast(Graph& graph, const Scope& scope, const Value& x, DataType type) {
  return graph.emit(scope, "Cast", {x}, type, Attributes().set("to", onnx_type(type)));
}

}  // namespace q3vl
