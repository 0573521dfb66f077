// The size in which the model sees a picture.
//
//   smart_resize({.width = 210, .height = 40}, 32, 4096, 20480) == ImageSize{224, 32}
#pragma once

#include <cstdint>

#include "image/rgb_image.h"

namespace q3vl {

/// The size nearest to `size` whose sides are multiples of `factor` (patch_size·merge_size), about the same in shape
/// and of `min_pixels` to `max_pixels` pixels; a side is `factor` at least, however thin the picture. A side halfway
/// between two multiples goes to the even one. All arguments are 1 or more, sides below 2³¹, min_pixels ≤ max_pixels ≤
/// 2⁴⁰. Throws Error(bad_input) when a side is more than 200 times the other. Source: Hugging Face transformers 5.12.1,
/// smart_resize of image_processing_qwen2_vl.py.
ImageSize smart_resize(ImageSize size, std::int64_t factor, std::int64_t min_pixels, std::int64_t max_pixels);

/// The same for each of `frames` frames of a clip, where `min_pixels` and `max_pixels` are of all frames together,
/// their number rounded up to a multiple of `temporal_factor` (temporal_patch_size). Throws Error(bad_input) also for a
/// side below `factor`. Source: Hugging Face transformers 5.12.1, smart_resize of video_processing_qwen3_vl.py.
ImageSize smart_resize_clip(std::int64_t frames, ImageSize size, std::int64_t temporal_factor, std::int64_t factor,
                            std::int64_t min_pixels, std::int64_t max_pixels);

}  // namespace q3vl
