// Conversions between types.
#pragma once

#include "graph/graph.h"

namespace q3vl {

/// `x` as `type`; `x` itself if it is of that type.
Value as_type(Graph& graph, const Scope& scope, const Value& x, DataType type);

/// `x` as `type`, by a Cast in every case.
Value cast(Graph& graph, const Scope& scope, const Value& x, DataType type);

}  // namespace q3vl
