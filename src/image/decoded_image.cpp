#include "image/decoded_image.h"

#include <fmt/format.h>

#include "qwen3vl_export/error.h"

namespace q3vl {

RgbImage allocate_image(ImageSize size, const std::string& origin) {
  const std::int64_t pixels = size.width * size.height;
  if (pixels > kMaxDecodedPixels)
    throw Error(ErrorKind::bad_input,
                fmt::format("{}: is {}×{} pixels (width × height), {} in all, expected at most {}; scale the picture "
                            "down",
                            origin, size.width, size.height, pixels, kMaxDecodedPixels));
  return {.width = size.width,
          .height = size.height,
          .pixels = std::vector<std::uint8_t>(static_cast<std::size_t>(pixels * 3))};
}

}  // namespace q3vl
