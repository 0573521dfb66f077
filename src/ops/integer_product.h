// Products of integers: weights of w8a8 by activations that are quantised while the graph runs.
#pragma once

#include "ops/builder.h"

namespace q3vl {

/// Activations [rows, width] as integers: value ≈ (code − 128) · scale, each row by its own largest magnitude, so that
/// a row of outliers costs the others nothing.
struct QuantizedRows {
  Value codes;   ///< uint8 [rows, width], 1 … 255
  Value scales;  ///< [rows, 1] of the compute type
};

/// Quantises x [rows, width].
QuantizedRows to_integers(Graph& g, const Scope& s, const Value& x);

/// x · Wᵀ: [rows, in] → [rows, out] of the compute type, for W [out, in] in the encoding w8a8.
/// Operator: com.microsoft.QGemm with a float output, which takes W as the checkpoint has it.
Value integer_product(const Builder& b, const Scope& s, const QuantizedRows& x, const WeightRequest& weight);

}  // namespace q3vl
