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

/// Of one of `frames` frames, which count as `counted_frames` where the limits are checked and as what they are where
/// the size is made to fit.
ImageSize resized(std::int64_t frames, std::int64_t counted_frames, ImageSize size, std::int64_t factor,
                  std::int64_t min_pixels, std::int64_t max_pixels) {
  const auto [shorter, longer] = std::minmax(size.width, size.height);
  if (longer > kMaxAspectRatio * shorter)
    throw Error(ErrorKind::bad_input,
                fmt::format("the picture is {}×{} pixels (width × height), expected a longer side of at most {} times "
                            "the shorter",
                            size.width, size.height, kMaxAspectRatio));
  // Double precision and the order of its operations are Hugging Face's: they decide ties.
  const auto unit = static_cast<double>(factor);
  const auto area = static_cast<double>(frames * size.width * size.height);
  const ImageSize rounded = in_factors(size, factor, [&](double side) { return std::nearbyint(side / unit); });
  const std::int64_t pixels = counted_frames * rounded.width * rounded.height;
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

}  // namespace

ImageSize smart_resize(ImageSize size, std::int64_t factor, std::int64_t min_pixels, std::int64_t max_pixels) {
  return resized(1, 1, size, factor, min_pixels, max_pixels);
}

ImageSize smart_resize_clip(std::int64_t frames, ImageSize size, std::int64_t temporal_factor, std::int64_t factor,
                            std::int64_t min_pixels, std::int64_t max_pixels) {
  if (std::min(size.width, size.height) < factor)
    throw Error(ErrorKind::bad_input,
                fmt::format("the frames are {}×{} pixels (width × height), expected {} or more on either side",
                            size.width, size.height, factor));
  const std::int64_t steps = (frames + temporal_factor - 1) / temporal_factor;
  return resized(frames, steps * temporal_factor, size, factor, min_pixels, max_pixels);
}

}  // namespace q3vl
