#include "verify/measure.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace q3vl {
namespace {

/// log Σ exp(x), without overflow.
double log_sum_exp(std::span<const float> values) {
  const double most = *std::max_element(values.begin(), values.end());
  double sum = 0;
  for (const float value : values) sum += std::exp(value - most);
  return most + std::log(sum);
}

}  // namespace

double scaled_error(std::span<const float> found, std::span<const float> expected) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (found.size() != expected.size()) return kInfinity;
  double squares = 0;
  for (const float value : expected) squares += double{value} * value;
  const double floor = expected.empty() ? 1 : std::max(1.0, std::sqrt(squares / static_cast<double>(expected.size())));
  double error = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (!std::isfinite(found[i])) return kInfinity;
    error = std::max(error, std::abs(double{found[i]} - expected[i]) / std::max(floor, std::abs(double{expected[i]})));
  }
  return error;
}

void Likeness::add(std::span<const float> found, std::span<const float> expected) {
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double a = found[i];
    const double b = expected[i];
    dot_ += a * b;
    found_ += a * a;
    expected_ += b * b;
    difference_ += (a - b) * (a - b);
  }
}

double Likeness::cosine() const {
  const double product = std::sqrt(found_ * expected_);
  return product == 0 ? (found_ == expected_ ? 1 : 0) : dot_ / product;
}

double Likeness::relative_error() const {
  if (difference_ == 0) return 0;
  return std::sqrt(difference_ / expected_);
}

double kl_divergence(std::span<const float> found, std::span<const float> expected) {
  const double found_sum = log_sum_exp(found);
  const double expected_sum = log_sum_exp(expected);
  double divergence = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double log_p = expected[i] - expected_sum;
    divergence += std::exp(log_p) * (log_p - (found[i] - found_sum));
  }
  return divergence < 0 ? 0 : divergence;  // rounding can take equal distributions below zero; NaN stays
}

double negative_log_likelihood(std::span<const float> logits, std::int64_t token) {
  return log_sum_exp(logits) - logits[static_cast<std::size_t>(token)];
}

std::int64_t argmax(std::span<const float> values) {
  return std::max_element(values.begin(), values.end()) - values.begin();
}

}  // namespace q3vl
