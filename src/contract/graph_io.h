// The inputs and outputs of the package's graphs: names and symbolic sizes. The only place that spells them.
//
// The names are what onnxruntime-genai and Transformers.js expect; `batch_size` in particular is how Transformers.js
// recognises the batch dimension of the cache.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace q3vl::contract {

inline constexpr const char* kPixelValues = "pixel_values";
inline constexpr const char* kImageGridThw = "image_grid_thw";
inline constexpr const char* kImageFeatures = "image_features";
inline constexpr const char* kInputIds = "input_ids";
inline constexpr const char* kInputsEmbeds = "inputs_embeds";
inline constexpr const char* kAttentionMask = "attention_mask";
inline constexpr const char* kPositionIds = "position_ids";
inline constexpr const char* kLogits = "logits";

// With "%d" for the layer, as genai_config.json writes them.
inline constexpr const char* kPastKey = "past_key_values.%d.key";
inline constexpr const char* kPastValue = "past_key_values.%d.value";
inline constexpr const char* kPresentKey = "present.%d.key";
inline constexpr const char* kPresentValue = "present.%d.value";

/// `pattern` with the layer's number in place of "%d"; without one the pattern itself.
inline std::string layer_name(std::string_view pattern, std::int64_t layer) {
  std::string name(pattern);
  const std::size_t place = name.find("%d");
  return place == std::string::npos ? name : name.replace(place, 2, std::to_string(layer));
}

inline constexpr const char* kBatch = "batch_size";
inline constexpr const char* kSequence = "sequence_length";
inline constexpr const char* kPastSequence = "past_sequence_length";
inline constexpr const char* kTotalSequence = "total_sequence_length";
inline constexpr const char* kNumPatches = "num_patches";
inline constexpr const char* kNumImages = "num_images";
inline constexpr const char* kNumTokens = "num_image_tokens";

}  // namespace q3vl::contract
