// What onnxruntime-genai needs of a package's tokenizer files.
#pragma once

#include <filesystem>

#include "base/json.h"
#include "package/findings.h"

namespace q3vl {

/// Holds the tokens of pictures that the document of tokenizer.json has against `model`, the model object of
/// genai_config.json, whose keys have been checked. What tokenizer_config.json names as the beginning, end and padding
/// is not compared with the ids: the client never does, and sound checkpoints differ there.
void check_special_tokens(const Json& tokenizer, const Json& model, Findings& findings);

/// Holds the tokenizer files in `folder` against `model`, the model object of genai_config.json: tokenizer.json and
/// tokenizer_config.json exist, the special tokens have the ids that the model is told of, and there is a chat template
/// in one of its three places, the same in all that have one.
void check_tokenizer(const std::filesystem::path& folder, const Json& model, Findings& findings);

}  // namespace q3vl
