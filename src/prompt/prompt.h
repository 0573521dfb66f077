// What is asked of a model: tokens, and the pictures among them.
#pragma once

#include <cstdint>
#include <vector>

#include "prompt/image_patches.h"

namespace q3vl {

/// One picture or clip of a prompt.
struct PromptPicture {
  Patches patches;
  bool video = false;  ///< its placeholders are video tokens, one span a frame
};

struct Prompt {
  std::vector<std::int64_t> input_ids;  ///< placeholders expanded: one a picture token
  std::vector<PromptPicture> pictures;  ///< in the order of the prompt
};

}  // namespace q3vl
