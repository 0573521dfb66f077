#include "reference/layers.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "tensors/shared_work.h"

namespace q3vl::reference {
namespace {

constexpr std::int64_t kQueryBlock = 512;  // whose scores are in memory at a time, of each thread

}  // namespace

at::Tensor linear(const WeightProvider& weights, const std::string& name, const at::Tensor& x) {
  return times_transposed(x, weights(name + ".weight")).add_(weights(name + ".bias"));
}

at::Tensor linear_no_bias(const WeightProvider& weights, const std::string& name, const at::Tensor& x) {
  return times_transposed(x, weights(name + ".weight"));
}

at::Tensor times_transposed(const at::Tensor& x, const at::Tensor& weight) {
  std::vector<std::int64_t> shape = x.sizes().vec();
  shape.back() = weight.size(0);
  return product(x.reshape({-1, x.size(-1)}), weight.t()).reshape(shape);
}

at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& bias) {
  const std::int64_t heads = q.size(0);
  const std::int64_t queries = q.size(1);
  const std::int64_t width = q.size(2);
  const std::int64_t group = heads / k.size(0);
  const std::int64_t blocks = (queries + kQueryBlock - 1) / kQueryBlock;
  at::Tensor output = at::empty({queries, heads * width}, q.options());
  share_blocks(heads * blocks, 4 * heads * queries * k.size(1) * width, [&](std::int64_t index) {
    const std::int64_t head = index / blocks;
    const std::int64_t begin = index % blocks * kQueryBlock;
    const std::int64_t rows = std::min(kQueryBlock, queries - begin);
    const at::Tensor scores =
        at::mm(q.select(0, head).narrow(0, begin, rows), k.select(0, head / group).t()).div_(std::sqrt(double(width)));
    if (bias.defined()) scores.add_(bias.narrow(0, begin, rows));
    at::Tensor place = output.narrow(0, begin, rows).narrow(1, head * width, width);
    at::mm_out(place, at::softmax(scores, -1), v.select(0, head / group));
  });
  return output;
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
