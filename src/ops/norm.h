// Normalisations.
#pragma once

#include <optional>
#include <utility>

#include "ops/builder.h"

namespace q3vl {

/// The residual stream of a transformer, kept as a sum that is not yet taken: `x`, and what the last block adds to it.
/// A norm can then be emitted fused with the addition.
struct Residual {
  Value x;
  std::optional<Value> added;
};

/// `balanced` divides the gain and the bias by balance_of() them, for matrices of w8a8 whose columns are multiplied by
/// it.
enum class NormOutput { plain, balanced };

/// x / rms(x) · weight over the last dimension, of `width` elements; `s`.weight names the gains.
Value rms_norm(const Builder& b, const Scope& s, const Value& x, std::int64_t width, double epsilon,
               NormOutput output = NormOutput::plain);

/// The same with gains [width] that are a value already.
Value rms_norm(Graph& g, const Scope& s, const Value& x, const Value& gain, double epsilon);

/// The norm of the residual's sum, and the sum itself: [normed, sum].
std::pair<Value, Value> skip_rms_norm(const Builder& b, const Scope& s, const Residual& residual, std::int64_t width,
                                      double epsilon, NormOutput output = NormOutput::plain);

/// (x − mean) / std · weight + bias over the last dimension. Add + LayerNormalization, not SkipLayerNormalization,
/// whose CPU kernel is several times slower.
Value layer_norm(const Builder& b, const Scope& s, const Value& x, std::int64_t width, double epsilon,
                 NormOutput output = NormOutput::plain);

}  // namespace q3vl
