// The 3-D positions of a prompt's tokens: text counts on, a picture's tokens are placed by frame, row and column.
//
// A picture's placeholder tokens share one position on the time axis and spread over height and width; the text after
// it goes on at the largest position used, plus one. A video is a picture a frame, each with its timestamp text before.
// Source: Hugging Face transformers 5.12.1, Qwen3VLModel.get_rope_index.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace q3vl {

/// The patches of one picture or clip: frames (already divided by temporal_patch_size), rows, columns.
struct Grid {
  std::int64_t t, h, w;

  bool operator==(const Grid&) const = default;
  std::int64_t patches() const { return t * h * w; }
  /// Tokens of the language model, each of `merge` × `merge` patches (spatial_merge_size).
  std::int64_t tokens(std::int64_t merge) const { return patches() / (merge * merge); }
};

/// What the config says about placeholders in a prompt.
struct PromptTokens {
  std::int64_t image_token_id, video_token_id, vision_start_token_id, spatial_merge_size;
};

struct MropePositions {
  std::vector<std::int64_t> ids;  ///< [3, S], row-major: time, height, width
  std::int64_t delta;             ///< largest position + 1 - S: what a later token adds to its index in the sequence
};

/// The positions of one unpadded prompt `input_ids` [S]. The grids stand in the order of their pictures in the prompt;
/// a clip's grid has all its frames. Throws Error(bad_input) when the grids and the placeholder tokens do not match, or
/// when a picture's placeholders do not follow the vision start token (the prompt is cut, or not this model's).
MropePositions mrope_positions(const PromptTokens& tokens, std::span<const std::int64_t> input_ids,
                               std::span<const Grid> image_grids, std::span<const Grid> video_grids);

}  // namespace q3vl
