// Picture files in the size in which the model sees them.
//
//   const RgbImage picture = read_model_image("holiday.jpg", config, config.max_pixels);
//   const Patches patches = image_patches({&picture, 1}, config);
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "config/image_config.h"
#include "image/rgb_image.h"

namespace q3vl {

/// Reads a picture and resizes it to multiples of patch_size·merge_size, of config.min_pixels to `max_pixels` pixels
/// (config.max_pixels, or fewer to spend less on a picture): what Hugging Face's Qwen2VLImageProcessor cuts into
/// patches. Throws Error(bad_input), naming the file, for what read_image and smart_resize refuse; Error(usage) when
/// `max_pixels` is below config.min_pixels.
RgbImage read_model_image(const std::filesystem::path& path, const ImageConfig& config, std::int64_t max_pixels);

/// Reads the frames of a clip, which are of one size, and resizes them alike: the pixels of `config` are those of all
/// frames together, as in Hugging Face's Qwen3VLVideoProcessor, whose torchvision filter differs from this one in the
/// last bit of a pixel.
/// Throws Error(bad_input), naming a file, also for frames that differ in size.
std::vector<RgbImage> read_model_clip(const std::vector<std::filesystem::path>& frames, const ImageConfig& config);

}  // namespace q3vl
