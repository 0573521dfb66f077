// The config.json of a module that is taken out of a Qwen3-VL checkpoint. What the source leaves to its default stays
// left to it: the two architectures have the same defaults.
// Source: Hugging Face transformers 5.12.1, Qwen3Config, Qwen3VLTextConfig and Qwen3VLVisionConfig.
#pragma once

#include "base/json.h"
#include "config/model_config.h"

namespace q3vl {

/// Of a plain Qwen3, in the rope dialect of `source`, the document that `text` was parsed from. What MRoPE says of
/// three axes is left out, since the three are one for text.
Json language_model_config(const Json& source, const TextConfig& text);

/// Of the visual tower: the source's vision_config, and what its document says of all modules.
Json visual_config(const Json& source);

}  // namespace q3vl
