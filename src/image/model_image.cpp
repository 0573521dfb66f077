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

}  // namespace q3vl
