// Conversions between types.
#pragma once

#include "graph/graph.h"

namespace q3vl {

/// `x` as `type`.
Value cast(Graph& graph, const Scope& scope, const Value& x, DataType type);

}  // namespace q3vl
