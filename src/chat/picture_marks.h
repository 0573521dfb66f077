// What a chat template writes for a picture, <|vision_start|><|image_pad|><|vision_end|>, and for a clip. Clients put
// the tokens of a picture in the place of <|image_pad|>; onnxruntime-genai looks for <|vision_start|>.
#pragma once

#include <cstdint>
#include <string_view>

#include "contract/special_tokens.h"

namespace q3vl {

inline constexpr std::string_view kImageMark = "<|vision_start|><|image_pad|><|vision_end|>";
inline constexpr std::string_view kVideoMark = "<|vision_start|><|video_pad|><|vision_end|>";

/// How many times `text` has `part`, without overlaps.
inline std::int64_t count_of(std::string_view text, std::string_view part) {
  std::int64_t count = 0;
  for (auto at = text.find(part); at != std::string_view::npos; at = text.find(part, at + part.size())) ++count;
  return count;
}

}  // namespace q3vl
