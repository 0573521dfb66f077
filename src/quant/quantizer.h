// Choosing scales and codes for rows of weights. A quantiser never sees a name; a new one is one class here.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "quant/encoding.h"

namespace q3vl {

class Quantizer {
 public:
  virtual ~Quantizer() = default;

  /// Quantises a row of finite values in blocks of encoding.block_size. `codes` takes a code in [0, 2^bits) for each
  /// value, and for each that is missing in the last block the zero point 2^(bits−1); `scales` one scale a block. The
  /// value that a code stands for is (code − 2^(bits−1)) · scale.
  virtual void quantize(std::span<const float> row, const Encoding& encoding, std::span<std::uint8_t> codes,
                        std::span<float> scales) const = 0;
};

/// The quantiser called `name` ("rtn"). Throws Error(usage), listing the known ones.
const Quantizer& quantizer(const std::string& name);

}  // namespace q3vl
