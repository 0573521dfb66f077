#include "quant/quantized_row.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "kernels/convert.h"
#include "kernels/pack.h"
#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

constexpr std::size_t kScaleBytes = 2;

std::size_t bytes_of(std::size_t codes, int bits) {
  return (codes * static_cast<std::size_t>(bits) + 7) / 8;
}

}  // namespace

void round_scales_to_float16(std::span<float> scales) {
  static thread_local std::vector<std::byte> rounded;
  rounded.resize(scales.size() * kScaleBytes);
  if (round_to_float16(scales, rounded.data()) > 0) {
    const float lost = *std::ranges::find_if(scales, [](float value) { return std::fabs(value) >= 65520.0F; });
    throw Error(ErrorKind::bad_input, fmt::format("needs a scale of {}, which float16 cannot represent (its largest is "
                                                  "65504); such values are not those of a trained model",
                                                  lost));
  }
  widen_to_float32(DataType::float16, rounded, scales.data());
}

QuantizedRow::QuantizedRow(const BlockFormat& format, std::size_t columns)
    : format_(format),
      code_bytes_(bytes_of(format.blocks(columns) * format.size, format.bits)),
      zero_bytes_(bytes_of(format.blocks(columns), format.bits)),
      codes_(format.blocks(columns) * format.size),
      scales_(format.blocks(columns)),
      zero_points_(zero_bytes_ * 8 / static_cast<std::size_t>(format.bits)) {}

void QuantizedRow::store(std::span<const std::span<std::byte>> parts, std::size_t index) const {
  pack_codes(codes_, format_.bits, parts[0].data() + index * code_bytes_);
  round_to_float16(scales_, parts[1].data() + index * scales_.size() * kScaleBytes);
  if (!format_.symmetric) pack_codes(zero_points_, format_.bits, parts[2].data() + index * zero_bytes_);
}

void QuantizedRow::load(std::span<const std::span<const std::byte>> parts, std::size_t index) {
  unpack_codes(parts[0].data() + index * code_bytes_, format_.bits, codes_);
  const std::size_t scale_bytes = scales_.size() * kScaleBytes;
  widen_to_float32(DataType::float16, parts[1].subspan(index * scale_bytes, scale_bytes), scales_.data());
  if (format_.symmetric)
    std::ranges::fill(zero_points_, static_cast<std::uint8_t>(format_.middle_code()));
  else
    unpack_codes(parts[2].data() + index * zero_bytes_, format_.bits, zero_points_);
}

}  // namespace q3vl
