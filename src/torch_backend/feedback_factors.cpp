#include "torch_backend/feedback_factors.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/half.h"
#include "tensors/shared_work.h"

namespace q3vl {
namespace {

constexpr std::int64_t kMostInFloat64 = 4096;
constexpr std::int64_t kPanel = 256;          // columns that are factored at a time
constexpr std::int64_t kSmallTriangle = 128;  // above, blocks and products of matrices are faster than substitution
constexpr float kLargestFloat16 = 65504.0F;

/// Replaces a lower triangular matrix with ones on the diagonal by its inverse: of [A 0; B C] it is
/// [A⁻¹ 0; −C⁻¹·B·A⁻¹ C⁻¹].
void invert_unit_lower(const at::Tensor& matrix) {
  const std::int64_t size = matrix.size(0);
  if (size <= kSmallTriangle) {
    matrix.copy_(at::linalg_solve_triangular(matrix, at::eye(size, matrix.options()), /*upper=*/false, /*left=*/true,
                                             /*unitriangular=*/true));
    return;
  }
  const std::int64_t half = size / 2;
  const at::Tensor a = matrix.narrow(0, 0, half).narrow(1, 0, half);
  const at::Tensor b = matrix.narrow(0, half, size - half).narrow(1, 0, half);
  const at::Tensor c = matrix.narrow(0, half, size - half).narrow(1, half, size - half);
  invert_unit_lower(a);
  invert_unit_lower(c);
  b.copy_(product(c, product(b, a)).neg_());
}

/// Replaces the lower triangle of a symmetric matrix by L of its factorisation L·Lᵀ; false if it has none. Panel by
/// panel: with A = [A₁ ·; B C] and A₁ = L₁·L₁ᵀ, the rows below are M = B·L₁⁻ᵀ, and C − M·Mᵀ is left to factor.
bool factor_lower(const at::Tensor& matrix) {
  for (std::int64_t begin = 0; begin < matrix.size(0); begin += kPanel) {
    const std::int64_t size = std::min(kPanel, matrix.size(0) - begin);
    const std::int64_t end = begin + size;
    const std::int64_t rest = matrix.size(0) - end;
    const at::Tensor diagonal = matrix.narrow(0, begin, size).narrow(1, begin, size);
    const auto [factor, info] = at::linalg_cholesky_ex(diagonal);
    if (info.item<std::int32_t>() != 0 || !at::isfinite(factor.diagonal()).all().item<bool>()) return false;
    diagonal.copy_(factor);
    const at::Tensor upper = factor.t();
    const at::Tensor below = matrix.narrow(0, end, rest).narrow(1, begin, size);
    share_ranges(rest, kPanel, rest * size * size, [&](std::int64_t row, std::int64_t rows) {
      const at::Tensor part = below.narrow(0, row, rows);
      part.copy_(at::linalg_solve_triangular(upper, part, /*upper=*/true, /*left=*/false));
    });
    const at::Tensor left = matrix.narrow(0, end, rest).narrow(1, end, rest);
    share_ranges(rest, kPanel, rest * rest * size, [&](std::int64_t row, std::int64_t rows) {
      left.narrow(0, row, rows)
          .narrow(1, 0, row + rows)
          .addmm_(below.narrow(0, row, rows), below.narrow(0, 0, row + rows).t(), /*beta=*/1, /*alpha=*/-1);
    });
  }
  return true;
}

template <typename Number>
std::vector<std::uint16_t> packed(const at::Tensor& reversed) {
  const std::int64_t size = reversed.size(0);
  const Number* values = reversed.data_ptr<Number>();
  std::vector<std::uint16_t> triangle;
  triangle.reserve(static_cast<std::size_t>(size * (size - 1) / 2));
  for (std::int64_t i = size - 1; i >= 0; --i)
    for (std::int64_t j = i - 1; j >= 0; --j) {
      const auto value = static_cast<float>(values[i * size + j]);
      triangle.push_back(float32_to_float16(std::clamp(value, -kLargestFloat16, kLargestFloat16)));
    }
  return triangle;
}

}  // namespace

std::optional<FeedbackFactors> feedback_factors(at::Tensor hessian, double damping) {
  hessian.diagonal().masked_fill_(hessian.diagonal().eq(0), 1);
  const double mean = hessian.diagonal().mean(at::kDouble).item<double>();
  // With rows and columns in reverse order, H = L·Lᵀ gives U = L⁻¹ without the inverse of H: read from the other end,
  // L is the upper triangular factor V of H = V·Vᵀ, and H⁻¹ = V⁻ᵀ·V⁻¹.
  hessian = hessian.flip({0, 1}).to(hessian.size(0) <= kMostInFloat64 ? at::kDouble : at::kFloat);
  at::Tensor lower;
  double added = 0;
  for (int raises = 0; !lower.defined(); ++raises, damping *= 10) {
    if (raises > kDampingRaises) return std::nullopt;
    hessian.diagonal().add_((damping - added) * mean);
    added = damping;
    at::Tensor factor = hessian.clone();
    if (factor_lower(factor)) lower = std::move(factor);
  }
  hessian.reset();
  // R is U with its rows divided by the diagonal, so the inverse of V with its columns divided by the diagonal.
  lower.tril_();
  lower.div_(lower.diagonal().clone());
  invert_unit_lower(lower);
  return FeedbackFactors{.triangle = lower.scalar_type() == at::kDouble ? packed<double>(lower) : packed<float>(lower),
                         .damping = added};
}

}  // namespace q3vl
