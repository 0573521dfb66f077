// The prompts that a package is proven on: made from the config alone, the same on every machine.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "config/model_config.h"
#include "prompt/prompt.h"

namespace q3vl {

struct VerifyCase {
  std::string name;
  Prompt prompt;
  std::vector<std::int64_t> positions;  ///< that are compared: all of a short prompt, else evenly spread; the last
                                        ///< kDecodedTokens are among them
};

/// So many tokens at the end of a prompt are also fed one by one, over the cache.
inline constexpr std::int64_t kDecodedTokens = 4;

/// Text alone; with `pictures` also one image, images of different sizes, a clip, all of random patches, and the first
/// text again with each of `images` (named in `image_names`) in it.
std::vector<VerifyCase> verify_cases(const ModelConfig& config, bool pictures, std::span<const Patches> images,
                                     std::span<const std::string> image_names);

}  // namespace q3vl
