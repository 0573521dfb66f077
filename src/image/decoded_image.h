// What a decoder hands over, and how large a picture it may be asked for.
#pragma once

#include <cstdint>
#include <string>

#include "image/rgb_image.h"

namespace q3vl {

/// The pixels as they are stored, and how they are to be turned.
struct DecodedImage {
  RgbImage image;
  int orientation = 1;  ///< of EXIF, 1 to 8; 1 is upright
};

/// The most pixels that a file is decoded to: a few kilobytes can claim billions.
/// Source: PIL, which refuses pictures of more than twice Image.MAX_IMAGE_PIXELS.
inline constexpr std::int64_t kMaxDecodedPixels = std::int64_t{2} * 89'478'485;

/// An image of `size`, its pixels all 0. Throws Error(bad_input), naming `origin`, when `size` exceeds
/// kMaxDecodedPixels, before anything is allocated. Sides are at most 2³¹ - 1.
RgbImage allocate_image(ImageSize size, const std::string& origin);

}  // namespace q3vl
