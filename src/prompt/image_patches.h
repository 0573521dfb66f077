// Pictures as the visual tower takes them: rows of normalised pixel values, one row a patch.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "config/image_config.h"
#include "image/rgb_image.h"
#include "prompt/mrope_positions.h"

namespace q3vl {

struct Patches {
  std::vector<float> pixel_values;  ///< [t·h·w, 3·temporal_patch_size·patch_size²]
  Grid grid;
};

/// The patches of one still picture (`frames` has one; it is repeated over temporal_patch_size) or of a clip's frames
/// (the last is repeated until temporal_patch_size divides their number). Rows come in merge order: the merge_size ×
/// merge_size patches of a token lie together; a row runs over channel, frame, pixel row, pixel column.
/// Nothing is resized: all frames must have one size whose sides are multiples of patch_size·merge_size, else
/// Error(bad_input).
/// Source: Hugging Face transformers 5.12.1, Qwen2VLImageProcessor (torchvision back end) and Qwen3VLVideoProcessor.
Patches image_patches(std::span<const RgbImage> frames, const ImageConfig& config);

}  // namespace q3vl
