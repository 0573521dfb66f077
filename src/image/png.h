// PNG files as 8-bit RGB.
#pragma once

#include <string>
#include <string_view>

#include "image/decoded_image.h"

namespace q3vl {

/// Decodes the bytes of a PNG file. Grey and palette pictures are expanded, of 16-bit channels the high byte is taken;
/// an alpha channel is dropped, the colours below it stay as stored, and so do those of a stated gamma or profile: all
/// as PIL's convert("RGB") does, except for 16-bit grey without alpha, which PIL does not narrow but clip at 255.
/// The orientation is the eXIf chunk's. Throws Error(bad_input), naming `origin`.
DecodedImage decode_png(std::string_view bytes, const std::string& origin);

}  // namespace q3vl
