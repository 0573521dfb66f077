#include "prompt/image_patches.h"

#include <fmt/format.h>

#include <algorithm>

#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

constexpr std::int64_t kChannels = 3;

void check_frames(std::span<const RgbImage> frames, std::int64_t unit) {
  if (frames.empty()) throw Error(ErrorKind::bad_input, "there is no picture: expected one image or a clip's frames");
  const RgbImage& first = frames.front();
  if (first.width < 1 || first.height < 1 || first.width % unit != 0 || first.height % unit != 0)
    throw Error(ErrorKind::bad_input,
                fmt::format("the picture is {}×{} pixels (width × height), expected multiples of {} on both sides: it "
                            "must be resized before",
                            first.width, first.height, unit));
  for (std::size_t i = 0; i < frames.size(); ++i) {
    const RgbImage& frame = frames[i];
    if (frame.width != first.width || frame.height != first.height)
      throw Error(ErrorKind::bad_input, fmt::format("frame {} is {}×{} pixels, but frame 0 is {}×{}: all frames of a "
                                                    "clip need one size",
                                                    i, frame.width, frame.height, first.width, first.height));
    if (static_cast<std::int64_t>(frame.pixels.size()) != frame.width * frame.height * kChannels)
      throw Error(ErrorKind::bad_input, fmt::format("frame {} has {} values, expected {}×{}×{}", i, frame.pixels.size(),
                                                    frame.height, frame.width, kChannels));
  }
}

}  // namespace

Patches image_patches(std::span<const RgbImage> frames, const ImageConfig& config) {
  const std::int64_t patch = config.patch_size;
  const std::int64_t merge = config.merge_size;
  const std::int64_t temporal = config.temporal_patch_size;
  check_frames(frames, patch * merge);
  if (config.image_mean.size() != kChannels || config.image_std.size() != kChannels)
    throw Error(ErrorKind::bad_input, fmt::format("image_mean has {} values and image_std {}, expected {} each",
                                                  config.image_mean.size(), config.image_std.size(), kChannels));

  // The rescaling is folded into mean and std, in float32, as Hugging Face's _fuse_mean_std_and_rescale_factor does.
  const auto unscale = static_cast<float>(1.0 / config.rescale_factor);
  std::vector<float> mean, std;
  for (const double value : config.image_mean) mean.push_back(static_cast<float>(value) * unscale);
  for (const double value : config.image_std) std.push_back(static_cast<float>(value) * unscale);

  const std::int64_t width = frames.front().width;
  const auto frame_count = static_cast<std::int64_t>(frames.size());
  Patches patches;
  patches.grid = {(frame_count + temporal - 1) / temporal, frames.front().height / patch, width / patch};
  patches.pixel_values.reserve(static_cast<std::size_t>(patches.grid.patches() * kChannels * temporal * patch * patch));

  // One row: [C, T, patch, patch] of the patch at `row`, `column` (counted in patches) of the `t`-th frames.
  const auto append_patch = [&](std::int64_t t, std::int64_t row, std::int64_t column) {
    for (std::int64_t channel = 0; channel < kChannels; ++channel)
      for (std::int64_t f = t * temporal; f < (t + 1) * temporal; ++f) {
        const RgbImage& frame = frames[static_cast<std::size_t>(std::min(f, frame_count - 1))];
        for (std::int64_t y = row * patch; y < (row + 1) * patch; ++y)
          for (std::int64_t x = column * patch; x < (column + 1) * patch; ++x) {
            const auto value = static_cast<float>(frame.pixels[(y * width + x) * kChannels + channel]);
            patches.pixel_values.push_back((value - mean[channel]) / std[channel]);
          }
      }
  };
  // Merge order: [t, h/merge, w/merge, merge, merge].
  for (std::int64_t t = 0; t < patches.grid.t; ++t)
    for (std::int64_t block_row = 0; block_row < patches.grid.h; block_row += merge)
      for (std::int64_t block_column = 0; block_column < patches.grid.w; block_column += merge)
        for (std::int64_t row = block_row; row < block_row + merge; ++row)
          for (std::int64_t column = block_column; column < block_column + merge; ++column)
            append_patch(t, row, column);
  return patches;
}

}  // namespace q3vl
