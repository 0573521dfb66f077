#include "ops/norm.h"

#include "ops/weight.h"

namespace q3vl {

Value rms_norm(const Builder& b, const Scope& s, const Value& x, std::int64_t width, double epsilon) {
  const Value gain = float_weight(b, s / "weight", {width}, Role::norm);
  return b.graph.emit(
      s, "SimplifiedLayerNormalization", {x, gain}, x.type,
      {{"axis", std::int64_t{-1}}, {"epsilon", static_cast<float>(epsilon)}, {"stash_type", std::int64_t{1}}});
}

std::pair<Value, Value> skip_rms_norm(const Builder& b, const Scope& s, const Residual& residual, std::int64_t width,
                                      double epsilon) {
  if (!residual.added) return {rms_norm(b, s, residual.x, width, epsilon), residual.x};
  const Value gain = float_weight(b, s / "weight", {width}, Role::norm);
  const DataType type = residual.x.type;
  // Outputs 1 and 2 are mean and inverse deviation, made in training only.
  const auto out = b.graph.emit_some(s, "SkipSimplifiedLayerNormalization", {residual.x, *residual.added, gain},
                                     {type, type, type, type}, {true, false, false, true},
                                     {{"epsilon", static_cast<float>(epsilon)}}, kMicrosoft);
  return {out[0], out[3]};
}

Value layer_norm(const Builder& b, const Scope& s, const Value& x, std::int64_t width, double epsilon) {
  const Value gain = float_weight(b, s / "weight", {width}, Role::vision_vector);
  const Value bias = float_weight(b, s / "bias", {width}, Role::vision_vector);
  return b.graph.emit(s, "LayerNormalization", {x, gain, bias}, x.type,
                      {{"axis", std::int64_t{-1}}, {"epsilon", static_cast<float>(epsilon)}});
}

}  // namespace q3vl
