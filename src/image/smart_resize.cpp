#include "image/smart_resize.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

constexpr std::int64_t kMaxAspectRatio = 200;

/// Both sides through `units`, which maps a side to a number of factors.
template <typename Units>
ImageSize in_factors(ImageSize size, std::int64_t factor, Units units) {
  const auto side = [&](std::int64_t pixels) {
    return static_cast<std::int64_t>(units(static_cast<double>(pixels))) * factor;
  };
  return {.width = side(size.width), .height = side(size.height)};
}

}  // namespace

ImageSize smart_resize(ImageSize size, std::int64_t factor, std::int64_t min_pixels, std::int64_t max_pixels) {
  const auto [shorter, longer] = std::minmax(size.width, size.height);
  if (longer > kMaxAspectRatio * shorter)
    throw Error(ErrorKind::bad_input,
                fmt::format("the picture is {}×{} pixels (width × height), expected a longer side of at most {} times "
                            "the shorter",
                            size.width, size.height, kMaxAspectRatio));
  // Double precision and the order of its operations are Hugging Face's: they decide ties.
  const auto unit = static_cast<double>(factor);
  const auto area = static_cast<double>(size.width * size.height);
  const ImageSize rounded = in_factors(size, factor, [&](double side) { return std::nearbyint(side / unit); });
  const std::int64_t pixels = rounded.width * rounded.height;
  if (pixels > max_pixels) {
    const double shrink = std::sqrt(area / static_cast<double>(max_pixels));
    return in_factors(size, factor, [&](double side) { return std::max(1.0, std::floor(side / shrink / unit)); });
  }
  if (pixels < min_pixels) {
    const double grow = std::sqrt(static_cast<double>(min_pixels) / area);
    return in_factors(size, factor, [&](double side) { return std::ceil(side * grow / unit); });
  }
  return rounded;
}

}  // namespace q3vl
