#include "quant/encoder.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>

#include "base/half.h"
#include "quant/quantizer.h"
#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

void encode_float16(std::span<const float> values, std::byte* out) {
  for (const float value : values) {
    const std::uint16_t half = float32_to_float16(value);
    if (std::isinf(float16_to_float32(half)))
      throw Error(ErrorKind::bad_input,
                  fmt::format("holds the value {}, which float16 cannot represent (its largest is 65504)", value));
    std::memcpy(out, &half, sizeof(half));
    out += sizeof(half);
  }
}

/// Packs codes of `bits`, low bits first.
void pack(std::span<const std::uint8_t> codes, int bits, std::byte* out) {
  if (bits == 8) {
    std::memcpy(out, codes.data(), codes.size());
    return;
  }
  for (std::size_t i = 0; i < codes.size(); i += 2) *out++ = static_cast<std::byte>(codes[i] | codes[i + 1] << 4);
}

}  // namespace

void encode_rows(const Encoding& encoding, std::span<const float> values, std::int64_t columns,
                 std::span<const std::span<std::byte>> parts) {
  if (encoding.format == Encoding::Format::float32) {
    std::memcpy(parts[0].data(), values.data(), values.size_bytes());
    return;
  }
  if (encoding.format == Encoding::Format::float16) {
    encode_float16(values, parts[0].data());
    return;
  }
  const Quantizer& method = quantizer(encoding.quantizer);
  const auto block = static_cast<std::size_t>(encoding.block_size);
  const std::size_t block_bytes = block * static_cast<std::size_t>(encoding.bits) / 8;
  const auto zero_point = static_cast<std::uint8_t>(1 << (encoding.bits - 1));
  std::vector<std::uint8_t> codes(block);
  std::byte* data = parts[0].data();
  std::byte* scales = parts[1].data();
  const auto row_size = static_cast<std::size_t>(columns);
  for (std::size_t row = 0; row < values.size(); row += row_size) {
    for (std::size_t begin = 0; begin < row_size; begin += block) {
      const std::size_t count = std::min(block, row_size - begin);
      const float scale = method.quantize(values.subspan(row + begin, count), encoding.bits, codes);
      for (std::size_t i = count; i < block; ++i) codes[i] = zero_point;
      pack(codes, encoding.bits, data);
      std::memcpy(scales, &scale, sizeof(scale));
      data += block_bytes;
      scales += sizeof(scale);
    }
  }
}

std::vector<float> dequantize_rows(const Encoding& encoding, std::span<const std::byte> data,
                                   std::span<const float> scales, std::int64_t rows, std::int64_t columns) {
  const auto block = static_cast<std::size_t>(encoding.block_size);
  const auto row_size = static_cast<std::size_t>(columns);
  const std::size_t block_bytes = block * static_cast<std::size_t>(encoding.bits) / 8;
  const int zero_point = 1 << (encoding.bits - 1);
  std::vector<float> values(static_cast<std::size_t>(rows) * row_size);
  const std::byte* codes = data.data();
  const float* scale = scales.data();
  for (std::size_t row = 0; row < values.size(); row += row_size) {
    for (std::size_t begin = 0; begin < row_size; begin += block, codes += block_bytes, ++scale) {
      const std::size_t count = std::min(block, row_size - begin);
      for (std::size_t i = 0; i < count; ++i) {
        const int byte = std::to_integer<int>(codes[encoding.bits == 8 ? i : i / 2]);
        const int code = encoding.bits == 8 ? byte : (i % 2 == 0 ? byte & 15 : byte >> 4);
        values[row + begin + i] = static_cast<float>(code - zero_point) * *scale;
      }
    }
  }
  return values;
}

}  // namespace q3vl
