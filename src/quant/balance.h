// Outlier channels shared out between activations and weights, so that integers of 8 bits hold both.
//
// A norm's gains say how large each of its channels is: x · Wᵀ = (x / s) · (W s)ᵀ for any factors s of the channels,
// and with s the square root of the channel's size neither side has all of an outlier. The norm gives x / s when its
// gain and bias are divided by s, so nothing is computed for it. This is SmoothQuant's rule (alpha = 0.5,
// https://arxiv.org/abs/2211.10438) without data: what comes out of a norm has the mean square gain² + bias².
#pragma once

#include <span>
#include <vector>

namespace q3vl {

/// s of every channel: (gain² + bias²)^¼, and no less than kLeastBalance. `bias` may be empty.
std::vector<float> balance_of(std::span<const float> gain, std::span<const float> bias);

inline constexpr float kLeastBalance = 1e-6F;

}  // namespace q3vl
