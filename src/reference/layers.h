// Layers that both towers use. `name` is the Hugging Face name of the module whose weights are taken.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "reference/weights.h"

namespace q3vl::reference {

/// x·Wᵀ + b with "<name>.weight" [out, in] and "<name>.bias" [out].
at::Tensor linear(const WeightProvider& weights, const std::string& name, const at::Tensor& x);

/// x·Wᵀ with "<name>.weight" [out, in].
at::Tensor linear_no_bias(const WeightProvider& weights, const std::string& name, const at::Tensor& x);

/// x·weightᵀ: [..., in], [out, in] -> [..., out].
at::Tensor times_transposed(const at::Tensor& x, const at::Tensor& weight);

/// softmax(q·kᵀ / √d + bias)·v, head by head: [heads, Q, d], twice [kv_heads, K, d] -> [Q, heads·d]. Each key/value
/// head serves heads / kv_heads query heads. `bias` is [Q, K] or undefined.
at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& bias);

/// torch.nn.LayerNorm over the last axis with "<name>.weight" and "<name>.bias".
at::Tensor layer_norm(const WeightProvider& weights, const std::string& name, const at::Tensor& x, double eps);

/// Qwen3VLTextRMSNorm over the last axis with "<name>.weight".
at::Tensor rms_norm(const WeightProvider& weights, const std::string& name, const at::Tensor& x, double eps);

/// The cosines and sines of a rotary embedding.
struct Rotary {
  at::Tensor cos, sin;
};

/// 1 / thetaⁱ for i = 0, 2/dim, 4/dim … below 1: [dim / 2].
at::Tensor inverse_frequencies(double theta, std::int64_t dim);

/// cos and sin of [freqs, freqs] side by side: [..., d] -> two of [..., 2d].
Rotary rotary_of(const at::Tensor& freqs);

/// Rotates by halves: x·cos + [-x₂, x₁]·sin, for x = [x₁, x₂] along the last axis. cos and sin must broadcast to x.
at::Tensor apply_rotary(const at::Tensor& x, const Rotary& rotary);

}  // namespace q3vl::reference
