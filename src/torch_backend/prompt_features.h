// Prompts as the reference takes them: their positions, and the visual tower's output for their pictures.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "prompt/prompt.h"
#include "reference/model.h"

namespace q3vl {

/// The tokens of `prompt` with their positions.
reference::Prompt reference_prompt(const ModelConfig& config, const Prompt& prompt);

/// The visual tower over the pictures of all prompts at once; each prompt gets its rows, or nothing without pictures.
/// `block_done` is called after each block.
std::vector<std::optional<reference::VisionFeatures>> prompt_features(const ModelConfig& config,
                                                                      const std::vector<const Prompt*>& prompts,
                                                                      const reference::WeightProvider& weights,
                                                                      const std::function<void()>& block_done);

}  // namespace q3vl
