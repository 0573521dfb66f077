// The prompts that a package is proven on: made from the config alone, the same on every machine, and texts of the
// user's.
#pragma once

#include <filesystem>
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
                                        ///< kDecodedTokens are among them, but for a text of the user's
  bool text = false;                    ///< of the user's: for quality alone

  std::int64_t length() const { return static_cast<std::int64_t>(prompt.input_ids.size()); }
};

/// So many tokens at the end of a prompt are also fed one by one, over the cache.
inline constexpr std::int64_t kDecodedTokens = 4;

/// Text alone; with `pictures` also one image, images of different sizes, a clip, all of random patches, and the first
/// text again with each of `images` (named in `image_names`) in it.
std::vector<VerifyCase> verify_cases(const ModelConfig& config, bool pictures, std::span<const Patches> images,
                                     std::span<const std::string> image_names);

/// The sequences of token ids in JSON files, each a case. Of long ones so many positions are compared, evenly spread,
/// that the logits of all together, of reference and package, stay below 2^27 floats. Throws Error(bad_input).
std::vector<VerifyCase> text_cases(const ModelConfig& config, std::span<const std::filesystem::path> files);

}  // namespace q3vl
