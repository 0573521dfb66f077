// The visual tower of Qwen3-VL in float32: patches in, one feature a merged token and DeepStack level out.
// Source: Hugging Face transformers 5.12.1, Qwen3VLVisionModel.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

#include "config/model_config.h"
#include "prompt/mrope_positions.h"
#include "reference/weights.h"

namespace q3vl::reference {

/// The four corners of the position table that each patch takes part in, in merge order:
/// (floor, floor), (floor, ceil), (ceil, floor), (ceil, ceil) of (row, column).
struct BilinearCorners {
  at::Tensor indices;  ///< [4, N] int64, into the table of side² rows
  at::Tensor weights;  ///< [4, N] float32
};

/// Hugging Face's get_vision_bilinear_indices_and_weights, bit for bit: aligned corners.
BilinearCorners bilinear_corners(std::span<const Grid> grids, std::int64_t table_side, std::int64_t merge);

/// The row and column of each patch in merge order: [N, 2] int64.
at::Tensor patch_positions(std::span<const Grid> grids, std::int64_t merge);

struct VisionFeatures {
  at::Tensor features;                ///< [tokens, out_hidden_size]
  std::vector<at::Tensor> deepstack;  ///< D of the same shape
};

/// Runs the tower over images and clips of any sizes at once. `pixel_values` [N, patch_values] has the patches of all
/// grids one after another, each in merge order. Throws Error(bad_input) when the grids do not add up to N.
/// Observed: patch_embed, pos_embeds, rope_cos, rope_sin (head_dim wide), block_<i>, last_hidden_state,
/// deepstack_<level>, image_features.
VisionFeatures vision_forward(const VisionConfig& config, const WeightProvider& weights, const at::Tensor& pixel_values,
                              std::span<const Grid> grids, const Observer& observe = {});

}  // namespace q3vl::reference
