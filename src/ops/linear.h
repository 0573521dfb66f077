// Linear layers. Weights lie as the checkpoint stores them, [out, in]: nothing is transposed at export.
#pragma once

#include "ops/builder.h"

namespace q3vl {

/// x · Wᵀ without a bias: [batch, sequence, in] → [batch, sequence, out]. `weight` names W [out, in].
/// Quantised in blocks it is a MatMulNBits of `accuracy_level` (4: int8 activations; 0: the compute type), otherwise a
/// FusedMatMul whose right side is transposed.
Value linear(const Builder& b, const Scope& s, const Scope& weight, const Value& x, std::int64_t in, std::int64_t out,
             const WeightUse& use, std::int64_t accuracy_level);

/// x · Wᵀ + bias on rows: [rows, in] → [rows, out], weights `s`.weight (`stored_shape`, [out, in] when flattened) and
/// `s`.bias [out].
Value affine(const Builder& b, const Scope& s, const Value& x, std::int64_t in, std::int64_t out,
             const Shape& stored_shape);
Value affine(const Builder& b, const Scope& s, const Value& x, std::int64_t in, std::int64_t out);

}  // namespace q3vl
