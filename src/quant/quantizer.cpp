#include "quant/quantizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

/// Round to nearest, symmetric, by the rule of ONNX Runtime's own block quantiser: the value of the largest magnitude,
/// with its sign, becomes the most negative code, since the code range reaches one further below zero than above.
class RoundToNearest final : public Quantizer {
 public:
  float quantize(std::span<const float> values, int bits, std::span<std::uint8_t> codes) const override {
    float least = std::numeric_limits<float>::max();
    float most = std::numeric_limits<float>::lowest();
    for (const float value : values) {
      least = value < least ? value : least;
      most = value > most ? value : most;
    }
    const auto zero_point = static_cast<float>(1 << (bits - 1));
    const auto last_code = static_cast<float>((1 << bits) - 1);
    const float scale = (std::fabs(most) > std::fabs(least) ? most : least) / -zero_point;
    const float reciprocal = scale != 0.0F ? 1.0F / scale : 0.0F;
    for (std::size_t i = 0; i < values.size(); ++i) {
      float place = values[i] * reciprocal + zero_point;
      place = place > 0.0F ? place : 0.0F;
      place = place < last_code ? place : last_code;
      // Half away from zero, as roundf does for what is not negative; spelled out so that it vectorises.
      const auto whole = static_cast<std::int32_t>(place);
      codes[i] = static_cast<std::uint8_t>(whole + (place - static_cast<float>(whole) >= 0.5F ? 1 : 0));
    }
    return scale;
  }
};

}  // namespace

const Quantizer& quantizer(const std::string& name) {
  static const RoundToNearest rtn;
  if (name == "rtn") return rtn;
  throw Error(ErrorKind::usage, fmt::format("the quantizer \"{}\" is not known; known is: rtn", name));
}

}  // namespace q3vl
