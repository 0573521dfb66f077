// Picture files in the size in which the model sees them.
//
//   const RgbImage picture = read_model_image("holiday.jpg", config, config.max_pixels);
//   const Patches patches = image_patches({&picture, 1}, config);
#pragma once

#include <cstdint>
#include <filesystem>

#include "config/image_config.h"
#include "image/rgb_image.h"

namespace q3vl {

/// Reads a picture and resizes it to multiples of patch_size·merge_size, of config.min_pixels to `max_pixels` pixels
/// (config.max_pixels, or fewer to spend less on a picture): what Hugging Face's Qwen2VLImageProcessor cuts into
/// patches. Throws Error(bad_input), naming the file, for what read_image and smart_resize refuse; Error(usage) when
/// `max_pixels` is below config.min_pixels.
RgbImage read_model_image(const std::filesystem::path& path, const ImageConfig& config, std::int64_t max_pixels);

}  // namespace q3vl
