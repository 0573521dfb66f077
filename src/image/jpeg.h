// JPEG files, baseline and progressive, as 8-bit RGB.
#pragma once

#include <string>
#include <string_view>

#include "image/decoded_image.h"

namespace q3vl {

/// Decodes the bytes of a JPEG file as libjpeg-turbo does of itself (accurate integer transform, smooth chroma
/// upsampling), and so as PIL does. Grey becomes RGB; CMYK and YCCK are taken to be stored inverted, as Adobe does, and
/// converted without a profile (as PIL's convert("RGB") does). The orientation is the EXIF segment's.
/// Throws Error(bad_input), naming `origin`, also for what libjpeg would only warn of: data that is damaged or cut
/// short.
DecodedImage decode_jpeg(std::string_view bytes, const std::string& origin);

}  // namespace q3vl
