// The whole model in float32: a prompt with its pictures in, logits or greedy tokens out.
//
//   const auto weights = checkpoint_weights(checkpoint);
//   const VisionFeatures vision = vision_forward(*config.vision, weights, pixel_values, grids);
//   const Prompt prompt = prompt_of(config, input_ids, image_grids, {});
//   const Generation answer = greedy_generate(config, weights, prompt, &vision, 16);
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "config/model_config.h"
#include "prompt/mrope_positions.h"
#include "reference/text.h"
#include "reference/vision.h"
#include "reference/weights.h"

namespace q3vl::reference {

/// A batch of prompts, right-padded.
struct Prompt {
  at::Tensor input_ids;       ///< [B, S] int64
  at::Tensor attention_mask;  ///< [B, S] int64
  at::Tensor position_ids;    ///< [3, B, S] int64
};

/// One unpadded prompt [S] with the positions that its grids give. Throws as mrope_positions does.
Prompt prompt_of(const ModelConfig& config, std::span<const std::int64_t> input_ids, std::span<const Grid> image_grids,
                 std::span<const Grid> video_grids);

/// The places of image and video placeholders: [B, S] bool.
at::Tensor visual_mask(const ModelConfig& config, const at::Tensor& input_ids);

/// The decoder's input: token embeddings with the features in place of the placeholders. Images and videos alike take
/// the rows of `vision` in the order of the placeholders, row of the batch by row; null when there are none. Throws
/// Error(bad_input) when placeholders and features differ in number.
TextInput embed_prompt(const ModelConfig& config, const WeightProvider& weights, const Prompt& prompt,
                       const VisionFeatures* vision);

/// Logits at every position: [B, S, vocab_size]. Observed: inputs_embeds, and what text_forward observes.
at::Tensor prompt_logits(const ModelConfig& config, const WeightProvider& weights, const Prompt& prompt,
                         const VisionFeatures* vision, const Observer& observe = {});

struct Generation {
  std::vector<std::int64_t> tokens;
  at::Tensor logits;  ///< [tokens, vocab_size]: the row that each token was chosen from
};

/// The most likely token `steps` times over, with a cache; nothing ends it earlier. `prompt` is a batch of one without
/// padding. Each step asks for every text weight again: give a provider that keeps them where they fit into memory.
Generation greedy_generate(const ModelConfig& config, const WeightProvider& weights, const Prompt& prompt,
                           const VisionFeatures* vision, std::int64_t steps);

}  // namespace q3vl::reference
