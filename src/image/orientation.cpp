#include "image/orientation.h"

#include <cstring>

namespace q3vl {
namespace {

constexpr std::uint32_t kOrientationTag = 0x0112, kShort = 3, kLong = 4;
constexpr std::size_t kEntryBytes = 12;

/// Numbers of a TIFF block in its byte order. Reading past the end gives 0, which no field sought here may be.
struct TiffBlock {
  std::string_view bytes;
  bool big_endian;

  std::uint32_t number(std::size_t offset, std::size_t width) const {
    if (offset > bytes.size() || bytes.size() - offset < width) return 0;
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < width; ++i) {
      const auto byte = static_cast<std::uint8_t>(bytes[offset + (big_endian ? i : width - 1 - i)]);
      value = value << 8 | byte;
    }
    return value;
  }
};

}  // namespace

int exif_orientation(std::string_view tiff) {
  const bool big_endian = tiff.starts_with("MM");
  if (!big_endian && !tiff.starts_with("II")) return 1;
  const TiffBlock block{tiff, big_endian};
  if (block.number(2, 2) != 42) return 1;
  const std::size_t directory = block.number(4, 4);
  const std::size_t entries = block.number(directory, 2);
  for (std::size_t i = 0; i < entries; ++i) {
    // Tag, type, how many values, the first value.
    const std::size_t entry = directory + 2 + i * kEntryBytes;
    if (block.number(entry, 2) != kOrientationTag) continue;
    const std::uint32_t type = block.number(entry + 2, 2);
    if ((type != kShort && type != kLong) || block.number(entry + 4, 4) != 1) return 1;
    const std::uint32_t value = block.number(entry + 8, type == kShort ? 2 : 4);
    return value >= 1 && value <= 8 ? static_cast<int>(value) : 1;
  }
  return 1;
}

RgbImage turned_upright(RgbImage stored, int orientation) {
  if (orientation == 1) return stored;
  const bool transposed = orientation >= 5;
  const bool from_right = orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool from_bottom = orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  RgbImage upright{.width = transposed ? stored.height : stored.width,
                   .height = transposed ? stored.width : stored.height,
                   .pixels = std::vector<std::uint8_t>(stored.pixels.size())};
  std::uint8_t* out = upright.pixels.data();
  for (std::int64_t y = 0; y < upright.height; ++y)
    for (std::int64_t x = 0; x < upright.width; ++x, out += 3) {
      const std::int64_t column = transposed ? y : x, row = transposed ? x : y;
      const std::int64_t stored_x = from_right ? stored.width - 1 - column : column;
      const std::int64_t stored_y = from_bottom ? stored.height - 1 - row : row;
      std::memcpy(out, &stored.pixels[(stored_y * stored.width + stored_x) * 3], 3);
    }
  return upright;
}

}  // namespace q3vl
