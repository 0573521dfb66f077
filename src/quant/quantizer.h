// Choosing scales and codes for blocks of weights. A quantiser never sees a name; a new one is one class here.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace q3vl {

class Quantizer {
 public:
  virtual ~Quantizer() = default;

  /// Quantises one block. `codes` receives a code in [0, 2^bits) for each of `values` (1 … block_size of them, finite);
  /// the value that a code stands for is (code − 2^(bits−1)) · the returned scale.
  virtual float quantize(std::span<const float> values, int bits, std::span<std::uint8_t> codes) const = 0;
};

/// The quantiser called `name` ("rtn"). Throws Error(usage), listing the known ones.
const Quantizer& quantizer(const std::string& name);

}  // namespace q3vl
