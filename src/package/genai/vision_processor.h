// vision_processor.json: onnxruntime-genai's image transforms.
#pragma once

#include <cstdint>

#include "base/json.h"
#include "config/image_config.h"

namespace q3vl {

/// The document: decode, resize to at most `max_pixels`, normalise, cut into patches; equal to Hugging Face's processor
/// but for the rounding of sizes that lie exactly between two multiples.
OrderedJson vision_processor(const ImageConfig& image, std::int64_t max_pixels);

}  // namespace q3vl
