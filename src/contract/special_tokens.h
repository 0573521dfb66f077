// Tokens of Qwen3-VL's vocabulary that prompts are built of.
#pragma once

#include <string_view>

namespace q3vl {

inline constexpr std::string_view kVisionStart = "<|vision_start|>";  ///< before a picture or a frame
inline constexpr std::string_view kVisionEnd = "<|vision_end|>";
inline constexpr std::string_view kImagePad = "<|image_pad|>";  ///< stands for a picture: a row of features each
inline constexpr std::string_view kVideoPad = "<|video_pad|>";

}  // namespace q3vl
