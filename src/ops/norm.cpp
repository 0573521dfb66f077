#include "ops/norm.h"

#include "ops/shape.h"
#include "ops/weight.h"
#include "quant/balance.h"

namespace q3vl {
namespace {

/// A norm's vectors divided by balance_of() them, in the outermost graph, where constants are folded.
class Balanced {
 public:
  Balanced(const Builder& b, const Scope& s, const Value& gain, const std::optional<Value>& bias)
      : graph_(b.graph.root()), scope_(s / "balance") {
    const auto square = [&](const Value& x) { return multiply(graph_, scope_, x, x); };
    const auto root = [&](const Value& x) { return graph_.emit(scope_, "Sqrt", {x}, x.type); };
    const Value size = bias ? add(graph_, scope_, square(gain), square(*bias)) : square(gain);
    factors_ = maximum(graph_, scope_, root(root(size)), graph_.float_scalar(kLeastBalance, size.type));
  }

  Value operator()(const Value& vector) const { return divide(graph_, scope_, vector, factors_); }

 private:
  Graph& graph_;
  Scope scope_;
  Value factors_;
};

Value rms_gain(const Builder& b, const Scope& s, std::int64_t width, NormOutput output) {
  const Value gain = float_weight(b, s / "weight", {width}, Role::norm);
  return output == NormOutput::plain ? gain : Balanced(b, s, gain, std::nullopt)(gain);
}

}  // namespace

Value rms_norm(const Builder& b, const Scope& s, const Value& x, std::int64_t width, double epsilon,
               NormOutput output) {
  return rms_norm(b.graph, s, x, rms_gain(b, s, width, output), epsilon);
}

Value rms_norm(Graph& g, const Scope& s, const Value& x, const Value& gain, double epsilon) {
  return g.emit(s, "SimplifiedLayerNormalization", {x, gain}, x.type,
                Attributes().set("axis", -1).set("epsilon", static_cast<float>(epsilon)).set("stash_type", 1));
}

std::pair<Value, Value> skip_rms_norm(const Builder& b, const Scope& s, const Residual& residual, std::int64_t width,
                                      double epsilon, NormOutput output) {
  if (!residual.added) return {rms_norm(b, s, residual.x, width, epsilon, output), residual.x};
  const Value gain = rms_gain(b, s, width, output);
  const DataType type = residual.x.type;
  // Outputs 1 and 2 are mean and inverse deviation, made in training only.
  const auto out = b.graph.emit_some(s, "SkipSimplifiedLayerNormalization", {residual.x, *residual.added, gain},
                                     {type, type, type, type}, {true, false, false, true},
                                     Attributes().set("epsilon", static_cast<float>(epsilon)), kMicrosoft);
  return {out[0], out[3]};
}

Value layer_norm(const Builder& b, const Scope& s, const Value& x, std::int64_t width, double epsilon,
                 NormOutput output) {
  Value gain = float_weight(b, s / "weight", {width}, Role::vision_vector);
  Value bias = float_weight(b, s / "bias", {width}, Role::vision_vector);
  if (output == NormOutput::balanced) {
    const Balanced balanced(b, s, gain, bias);
    gain = balanced(gain);
    bias = balanced(bias);
  }
  return b.graph.emit(s, "LayerNormalization", {x, gain, bias}, x.type,
                      Attributes().set("axis", -1).set("epsilon", static_cast<float>(epsilon)));
}

}  // namespace q3vl
