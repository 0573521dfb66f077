// The quantisers by name. One that is new is a row of the table here and a loop in src/kernels/.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "kernels/choose_scales.h"

namespace q3vl {

struct Quantizer {
  using Choose = void (*)(std::span<const float> row, Importance importance, const BlockFormat& format,
                          const BlockScales& blocks);
  std::string_view name;
  Choose choose;          ///< the scales and zero points of a row's blocks
  bool symmetric;         ///< whether it can do without zero points
  bool feedback;          ///< whether each column's rounding error is spread over those that follow
  bool heeds_importance;  ///< whether an importance changes what it chooses
  std::string_view description;
};

/// All of them, the best without calibration first.
std::span<const Quantizer> quantizers();

/// The quantiser called `name`. Throws Error(usage), listing the known ones.
const Quantizer& quantizer(std::string_view name);

}  // namespace q3vl
