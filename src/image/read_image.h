// Picture files as upright 8-bit RGB.
//
//   const RgbImage picture = read_image("holiday.jpg");
#pragma once

#include <filesystem>

#include "image/rgb_image.h"

namespace q3vl {

/// Reads a PNG or JPEG file, told apart by their first bytes, and turns it upright as its EXIF orientation says. The
/// pixels are those of PIL's ImageOps.exif_transpose and convert("RGB"), which Hugging Face's image processors start
/// from; image/png.h and image/jpeg.h say how.
/// Throws Error(bad_input): unreadable, another format, damaged, cut short, or more than kMaxDecodedPixels.
RgbImage read_image(const std::filesystem::path& path);

}  // namespace q3vl
