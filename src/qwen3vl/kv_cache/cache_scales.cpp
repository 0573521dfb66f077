#include "qwen3vl/kv_cache/cache_scales.h"

#include <cmath>

#include "ops/shape.h"
#include "ops/weight.h"

namespace q3vl {
namespace {

constexpr float kLargestCacheCode = 127.0F;

// How many times its root mean square, as it would be if the input's channels had nothing to do with each other, a
// value may be. On the trained model of docs/QUANTIZATION.md the largest is 6.6 times that, and 4 times clips one value
// in 800, without harm; the bound that can never be exceeded, sqrt(in) times, is coarser than what it guards against.
constexpr float kValueRange = 12.0F;

// A channel that is always 0 has codes of 0 by any scale but 0.
constexpr float kLeastScale = 1e-30F;

Value largest_to_scale(Graph& g, const Scope& s, const Value& size, float factor) {
  return maximum(g, s, multiply(g, s, size, g.float_scalar(factor / kLargestCacheCode, size.type)),
                 g.float_scalar(kLeastScale, size.type));
}

}  // namespace

Value key_scales(const Builder& b, const Scope& s, const Value& gain, const GroupedHeads& heads) {
  // A normed head has the length sqrt(head_dim), and rotation keeps that of each pair of channels (j, j + head_dim /
  // 2): neither is ever larger than the length times the larger gain.
  Graph& g = b.graph.root();
  const Scope scope = s / "key_scales";
  const Value size = g.emit(scope, "Abs", {gain}, gain.type);
  const std::vector<Value> halves = split(g, scope, size, 2, 0);
  const Value larger = maximum(g, scope, halves[0], halves[1]);
  const auto length = static_cast<float>(std::sqrt(static_cast<double>(heads.head_dim)));
  const Value scales = largest_to_scale(g, scope, concat(g, scope, {larger, larger}, 0), length);
  return g.emit(scope, "Expand", {scales, g.integers({1, heads.num_key_value_heads, 1, heads.head_dim})}, scales.type);
}

Value value_scales(const Builder& b, const Scope& s, const Scope& weight, const Scope& norm, std::int64_t in,
                   std::int64_t layer, const GroupedHeads& heads) {
  const WeightRequest& norms = b.weights.request(weight.path(), {heads.num_key_value_heads * heads.head_dim, in},
                                                 {Role::value_norms, layer}, norm.path());
  const Value sizes = weight_part(b, norms, 0, {1, heads.num_key_value_heads, 1, heads.head_dim});
  return largest_to_scale(b.graph.root(), s / "value_scales", sizes, kValueRange);
}

}  // namespace q3vl
