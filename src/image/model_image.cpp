#include "image/model_image.h"

#include <fmt/format.h>

#include "image/read_image.h"
#include "image/resize.h"
#include "image/smart_resize.h"
#include "qwen3vl_export/error.h"

namespace q3vl {

RgbImage read_model_image(const std::filesystem::path& path, const ImageConfig& config, std::int64_t max_pixels) {
  if (max_pixels < config.min_pixels)
    throw Error(ErrorKind::usage, fmt::format("pictures of at most {} pixels are asked for, but the model takes {} or "
                                              "more",
                                              max_pixels, config.min_pixels));
  const RgbImage image = read_image(path);
  try {
    const std::int64_t factor = config.patch_size * config.merge_size;
    return resize_bicubic(image, smart_resize({image.width, image.height}, factor, config.min_pixels, max_pixels));
  } catch (const Error& error) {
    throw Error(error.kind(), fmt::format("{}: {}", path.string(), error.what()));
  }
}

std::vector<RgbImage> read_model_clip(const std::vector<std::filesystem::path>& frames, const ImageConfig& config) {
  std::vector<RgbImage> clip;
  ImageSize first{};
  ImageSize wanted{};
  for (const std::filesystem::path& path : frames) {
    const RgbImage image = read_image(path);
    const ImageSize size{image.width, image.height};
    try {
      if (clip.empty()) {
        first = size;
        wanted = smart_resize_clip(static_cast<std::int64_t>(frames.size()), size, config.temporal_patch_size,
                                   config.patch_size * config.merge_size, config.min_pixels, config.max_pixels);
      } else if (size != first) {
        throw Error(ErrorKind::bad_input,
                    fmt::format("the frame is {}×{} pixels (width × height), expected {}×{} as the first of the clip",
                                size.width, size.height, first.width, first.height));
      }
      clip.push_back(resize_bicubic(image, wanted));
    } catch (const Error& error) {
      throw Error(error.kind(), fmt::format("{}: {}", path.string(), error.what()));
    }
  }
  return clip;
}

}  // namespace q3vl
