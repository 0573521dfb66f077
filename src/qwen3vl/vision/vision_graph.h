// vision.onnx: pictures' patches → the features that take the placeholders' places.
#pragma once

#include "config/model_config.h"
#include "ops/builder.h"

namespace q3vl {

/// Appends the visual tower to an empty graph.
///   pixel_values   [num_patches, in_channels · temporal_patch_size · patch_size²] float32, all images behind each
///   other image_grid_thw [num_images, 3] int64: frames, rows and columns of patches image_features [num_image_tokens,
///   (1+D)·H]: merged features and DeepStack levels side by side
/// Any number of images of any sizes; attention never crosses a frame.
void build_vision_graph(const Builder& b, const ModelConfig& config);

}  // namespace q3vl
