#include "prompt/prompt.h"

namespace q3vl {
namespace {

constexpr std::int64_t kNoToken = -1;  // no token has this id

}  // namespace

PromptTokens prompt_tokens(const ModelConfig& config) {
  return {.image_token_id = config.image_token_id.value_or(kNoToken),
          .video_token_id = config.video_token_id.value_or(kNoToken),
          .vision_start_token_id = config.vision_start_token_id.value_or(kNoToken),
          .spatial_merge_size = config.vision ? config.vision->spatial_merge_size : 1};
}

MropePositions prompt_positions(const PromptTokens& tokens, const Prompt& prompt) {
  std::vector<Grid> images;
  std::vector<Grid> videos;
  for (const PromptPicture& picture : prompt.pictures)
    (picture.video ? videos : images).push_back(picture.patches.grid);
  return mrope_positions(tokens, prompt.input_ids, images, videos);
}

JoinedPatches join_patches(std::span<const Patches> pictures) {
  std::vector<float> pixels;
  std::vector<std::int64_t> grids;
  std::int64_t patches = 0;
  for (const Patches& picture : pictures) {
    pixels.insert(pixels.end(), picture.pixel_values.begin(), picture.pixel_values.end());
    grids.insert(grids.end(), {picture.grid.t, picture.grid.h, picture.grid.w});
    patches += picture.grid.patches();
  }
  const auto width = static_cast<std::int64_t>(pixels.size()) / patches;
  const auto count = static_cast<std::int64_t>(pictures.size());
  return {HostTensor::of({patches, width}, pixels), HostTensor::of({count, 3}, grids)};
}

}  // namespace q3vl
