// What is asked of a model: tokens, and the pictures among them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/host_tensor.h"
#include "config/model_config.h"
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

/// What opens pictures and stands for them in a prompt; nothing does in a plain language model.
PromptTokens prompt_tokens(const ModelConfig& config);

/// The positions of the prompt's tokens. Throws as mrope_positions does.
MropePositions prompt_positions(const PromptTokens& tokens, const Prompt& prompt);

/// Pictures as the visual tower takes them, behind each other.
struct JoinedPatches {
  HostTensor pixel_values;    ///< [Σ t·h·w, patch_values] float32
  HostTensor image_grid_thw;  ///< [pictures, 3] int64
};

/// Joins one picture or more.
JoinedPatches join_patches(std::span<const Patches> pictures);

}  // namespace q3vl
