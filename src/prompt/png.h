// PNG files as 8-bit RGB.
#pragma once

#include <filesystem>

#include "prompt/image_patches.h"

namespace q3vl {

/// Reads a PNG file. Grey and palette pictures are expanded, 16-bit channels narrowed, colours of a stated other gamma
/// turned to sRGB; an alpha channel is dropped, the colours below it stay as stored (as PIL's convert("RGB") does).
/// Throws Error(bad_input).
RgbImage read_png(const std::filesystem::path& path);

}  // namespace q3vl
