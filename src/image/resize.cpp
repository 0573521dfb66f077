#include "image/resize.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

constexpr std::int64_t kChannels = 3;

/// 8 bits of the pixel and 2 for what the filter overshoots leave these of 32 to a weight's fraction.
constexpr int kFractionBits = 32 - 8 - 2;

/// Keys' cubic convolution reaches two pixels to each side.
constexpr double kReach = 2;

double cubic(double distance) {
  constexpr double a = -0.5;
  const double x = std::abs(distance);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

/// How one pixel of the result mixes those of the source, from `first` on.
struct Mix {
  std::int64_t first;
  std::vector<std::int32_t> weights;
};

/// One of each pixel along a side. Every operation rounds as in Pillow: the last bit of a weight is seen.
std::vector<Mix> mixes(std::int64_t length, std::int64_t new_length) {
  const double scale = static_cast<double>(length) / static_cast<double>(new_length);
  const double widening = std::max(scale, 1.0);
  const double reach = kReach * widening;
  const double narrowing = 1.0 / widening;
  std::vector<Mix> result;
  for (std::int64_t i = 0; i < new_length; ++i) {
    const double center = (static_cast<double>(i) + 0.5) * scale;
    const auto first = std::max<std::int64_t>(static_cast<std::int64_t>(center - reach + 0.5), 0);
    const auto end = std::min(static_cast<std::int64_t>(center + reach + 0.5), length);
    std::vector<double> exact;
    double sum = 0;
    for (std::int64_t j = first; j < end; ++j) {
      exact.push_back(cubic((static_cast<double>(j) - center + 0.5) * narrowing));
      sum += exact.back();
    }
    Mix mix{.first = first, .weights = {}};
    for (const double weight : exact) {
      const double fixed = weight / sum * (1 << kFractionBits);
      mix.weights.push_back(static_cast<std::int32_t>(fixed < 0 ? fixed - 0.5 : fixed + 0.5));
    }
    result.push_back(std::move(mix));
  }
  return result;
}

/// Resizes the middle axis of [outer, length, inner].
std::vector<std::uint8_t> resized_axis(const std::vector<std::uint8_t>& values, std::int64_t outer, std::int64_t length,
                                       std::int64_t inner, std::int64_t new_length) {
  const std::vector<Mix> along = mixes(length, new_length);
  std::vector<std::uint8_t> result(static_cast<std::size_t>(outer * new_length * inner));
  std::vector<std::int32_t> sums(static_cast<std::size_t>(inner));
  std::uint8_t* out = result.data();
  for (std::int64_t o = 0; o < outer; ++o)
    for (const Mix& mix : along) {
      std::ranges::fill(sums, 1 << (kFractionBits - 1));  // half, to round by cutting off
      const std::uint8_t* in = &values[(o * length + mix.first) * inner];
      for (const std::int32_t weight : mix.weights)
        for (std::int32_t& sum : sums) sum += weight * *in++;
      for (const std::int32_t sum : sums) *out++ = static_cast<std::uint8_t>(std::clamp(sum >> kFractionBits, 0, 255));
    }
  return result;
}

}  // namespace

RgbImage resize_bicubic(const RgbImage& image, ImageSize size) {
  if (std::min({image.width, image.height, size.width, size.height}) < 1 ||
      static_cast<std::int64_t>(image.pixels.size()) != image.width * image.height * kChannels)
    throw Error(ErrorKind::bad_input,
                fmt::format("a picture of {}×{} pixels (width × height) and {} values cannot be resized to {}×{}",
                            image.width, image.height, image.pixels.size(), size.width, size.height));
  RgbImage result = image;
  const auto resize_width = [&] {
    if (size.width == result.width) return;
    result.pixels = resized_axis(result.pixels, result.height, result.width, kChannels, size.width);
    result.width = size.width;
  };
  const auto resize_height = [&] {
    if (size.height == result.height) return;
    result.pixels = resized_axis(result.pixels, 1, result.height, result.width * kChannels, size.height);
    result.height = size.height;
  };
  // The order shows: what overshoots black or white is cut off after each pass.
  const bool height_first = size.height < image.height && image.height - size.height > 2 * (image.width - size.width);
  if (height_first) resize_height();
  resize_width();
  resize_height();
  return result;
}

}  // namespace q3vl
