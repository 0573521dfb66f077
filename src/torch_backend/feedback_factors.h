// GPTQ's feedback: how the rounding error of one column of a matrix is made good in the columns after it.
// Source: Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers", 2022.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace q3vl {

struct FeedbackFactors {
  std::vector<std::uint16_t> triangle;  ///< float16 R[i][j], j > i, row behind row; beyond ±65504 clamped
  double damping;                       ///< that the factorisation needed: as asked for, or ten times that, or more
};

/// From H [K, K] float32, the mean of x·xᵀ in its upper triangle (the rest is not read), which is used up: R[i][j] =
/// U[i][j] / U[i][i] of the upper triangular U with (H + damping·mean(diag H)·I)⁻¹ = Uᵀ·U. A channel that is always 0
/// has a 1 on the diagonal. A damping that leaves H without a Cholesky factor is multiplied by 10, at most
/// kDampingRaises times; nothing when that does not help. K up to 4096 is computed in float64, larger ones in float32.
std::optional<FeedbackFactors> feedback_factors(at::Tensor hessian, double damping);

inline constexpr int kDampingRaises = 4;

}  // namespace q3vl
