// A picture in memory, and the size of one: what every step between a file and the model's patches speaks of.
//
//   RgbImage black{.width = 2, .height = 1, .pixels = {0, 0, 0, 0, 0, 0}};
#pragma once

#include <cstdint>
#include <vector>

namespace q3vl {

/// 8-bit RGB, rows from the top: [height, width, 3].
struct RgbImage {
  std::int64_t width, height;
  std::vector<std::uint8_t> pixels;
};

/// Sides in pixels.
struct ImageSize {
  std::int64_t width, height;
  bool operator==(const ImageSize&) const = default;
};

}  // namespace q3vl
