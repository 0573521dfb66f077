#include "quant/quantizer.h"

#include <fmt/format.h>

#include "kernels/quantize.h"
#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

/// Round to nearest, symmetric.
class RoundToNearest final : public Quantizer {
 public:
  void quantize(std::span<const float> row, const Encoding& encoding, std::span<std::uint8_t> codes,
                std::span<float> scales) const override {
    quantize_symmetric(row, static_cast<std::size_t>(encoding.block_size), encoding.bits, codes.data(), scales.data());
  }
};

}  // namespace

const Quantizer& quantizer(const std::string& name) {
  static const RoundToNearest rtn;
  if (name == "rtn") return rtn;
  throw Error(ErrorKind::usage, fmt::format("the quantizer \"{}\" is not known; known is: rtn", name));
}

}  // namespace q3vl
