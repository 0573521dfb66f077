#include "ops/activation.h"

namespace q3vl {

Value gelu_tanh(Graph& g, const Scope& s, const Value& x) {
  return g.emit(s, "FastGelu", {x}, x.type, {}, kMicrosoft);
}

Value gelu_erf(Graph& g, const Scope& s, const Value& x) {
  return g.emit(s, "Gelu", {x}, x.type, {}, kMicrosoft);
}

Value silu(Graph& g, const Scope& s, const Value& x) {
  return g.emit(s, "QuickGelu", {x}, x.type, Attributes().set("alpha", 1.0F), kMicrosoft);
}

}  // namespace q3vl
