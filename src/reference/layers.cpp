#include "reference/layers.h"

#include <ATen/ATen.h>

namespace q3vl::reference {

at::Tensor linear(const WeightProvider& weights, const std::string& name, const at::Tensor& x) {
  return at::linear(x, weights(name + ".weight"), weights(name + ".bias"));
}

at::Tensor linear_no_bias(const WeightProvider& weights, const std::string& name, const at::Tensor& x) {
  return at::linear(x, weights(name + ".weight"));
}

at::Tensor layer_norm(const WeightProvider& weights, const std::string& name, const at::Tensor& x, double eps) {
  return at::layer_norm(x, {x.size(-1)}, weights(name + ".weight"), weights(name + ".bias"), eps);
}

at::Tensor rms_norm(const WeightProvider& weights, const std::string& name, const at::Tensor& x, double eps) {
  const at::Tensor variance = x.pow(2).mean(-1, /*keepdim=*/true);
  return weights(name + ".weight") * (x * at::rsqrt(variance + eps));
}

at::Tensor inverse_frequencies(double theta, std::int64_t dim) {
  return 1.0 / at::pow(theta, at::arange(0, dim, 2, at::kFloat) / static_cast<double>(dim));
}

Rotary rotary_of(const at::Tensor& freqs) {
  const at::Tensor both = at::cat({freqs, freqs}, -1);
  return {both.cos(), both.sin()};
}

at::Tensor apply_rotary(const at::Tensor& x, const Rotary& rotary) {
  const auto halves = x.chunk(2, -1);
  const at::Tensor rotated = at::cat({-halves[1], halves[0]}, -1);
  return x * rotary.cos + rotated * rotary.sin;
}

}  // namespace q3vl::reference
