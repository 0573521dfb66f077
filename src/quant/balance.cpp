#include "quant/balance.h"

#include <algorithm>
#include <cmath>

namespace q3vl {

std::vector<float> balance_of(std::span<const float> gain, std::span<const float> bias) {
  std::vector<float> factors;
  for (std::size_t i = 0; i < gain.size(); ++i) {
    const float offset = bias.empty() ? 0.0F : bias[i];
    factors.push_back(std::max(std::sqrt(std::sqrt(gain[i] * gain[i] + offset * offset)), kLeastBalance));
  }
  return factors;
}

}  // namespace q3vl
