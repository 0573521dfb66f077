// Activation functions.
#pragma once

#include "graph/graph.h"

namespace q3vl {

/// GELU in the tanh form ("gelu_pytorch_tanh").
Value gelu_tanh(Graph& g, const Scope& s, const Value& x);

/// GELU by the error function.
Value gelu_erf(Graph& g, const Scope& s, const Value& x);

/// x · sigmoid(x).
Value silu(Graph& g, const Scope& s, const Value& x);

}  // namespace q3vl
