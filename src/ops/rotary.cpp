#include "ops/rotary.h"

#include <cmath>

namespace q3vl {

std::vector<float> inverse_frequencies(double base, std::int64_t count, std::int64_t width) {
  std::vector<float> frequencies;
  for (std::int64_t i = 0; i < count; ++i) {
    // Each step rounds to float32, like torch's: the exponent, the power, its reciprocal. Positions of many thousands
    // multiply a difference in the last bit.
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(width);
    const auto power = static_cast<float>(std::pow(base, static_cast<double>(exponent)));
    frequencies.push_back(1.0F / power);
  }
  return frequencies;
}

Value rotate(Graph& g, const Scope& s, const Value& x, const RotaryTable& table, std::int64_t num_heads) {
  return g.emit(s, "RotaryEmbedding", {x, table.row_ids, table.cos, table.sin}, x.type,
                Attributes().set("num_heads", num_heads).set("interleaved", 0), kMicrosoft);
}

}  // namespace q3vl
