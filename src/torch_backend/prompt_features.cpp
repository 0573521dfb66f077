#include "torch_backend/prompt_features.h"

#include <ATen/ATen.h>

namespace q3vl {
namespace {

/// The grids of a prompt's pictures: all, or only images or clips.
std::vector<Grid> grids_of(const Prompt& prompt, std::optional<bool> video) {
  std::vector<Grid> grids;
  for (const PromptPicture& picture : prompt.pictures)
    if (!video || picture.video == *video) grids.push_back(picture.patches.grid);
  return grids;
}

}  // namespace

reference::Prompt reference_prompt(const ModelConfig& config, const Prompt& prompt) {
  return reference::prompt_of(config, prompt.input_ids, grids_of(prompt, false), grids_of(prompt, true));
}

std::vector<std::optional<reference::VisionFeatures>> prompt_features(const ModelConfig& config,
                                                                      const std::vector<const Prompt*>& prompts,
                                                                      const reference::WeightProvider& weights,
                                                                      const std::function<void()>& block_done) {
  std::vector<Grid> grids;
  std::vector<float> pixels;
  for (const Prompt* prompt : prompts)
    for (const PromptPicture& picture : prompt->pictures) {
      grids.push_back(picture.patches.grid);
      pixels.insert(pixels.end(), picture.patches.pixel_values.begin(), picture.patches.pixel_values.end());
    }
  std::vector<std::optional<reference::VisionFeatures>> all(prompts.size());
  if (grids.empty()) return all;
  const std::int64_t width = config.vision->patch_values();
  const at::Tensor patches = at::from_blob(pixels.data(), {static_cast<std::int64_t>(pixels.size()) / width, width},
                                           at::TensorOptions(at::kFloat));
  const reference::VisionFeatures features = reference::vision_forward(*config.vision, weights, patches, grids,
                                                                       [&](const std::string& name, const at::Tensor&) {
                                                                         if (name.starts_with("block_")) block_done();
                                                                       });
  std::int64_t begin = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    std::int64_t tokens = 0;
    for (const Grid& grid : grids_of(*prompts[i], std::nullopt)) tokens += grid.patches() / config.vision->merge_unit();
    if (tokens == 0) continue;
    const auto part = [&](const at::Tensor& whole) { return whole.narrow(0, begin, tokens); };
    reference::VisionFeatures& mine = all[i].emplace();
    mine.features = part(features.features);
    for (const at::Tensor& level : features.deepstack) mine.deepstack.push_back(part(level));
    begin += tokens;
  }
  return all;
}

}  // namespace q3vl
