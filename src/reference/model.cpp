#include "reference/model.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "prompt/prompt.h"
#include "qwen3vl_export/error.h"

namespace q3vl::reference {
namespace {

at::Tensor copy_of(std::span<const std::int64_t> values) {
  at::Tensor copy = at::empty({static_cast<std::int64_t>(values.size())}, at::kLong);
  std::ranges::copy(values, copy.data_ptr<std::int64_t>());
  return copy;
}

}  // namespace

Prompt prompt_of(const ModelConfig& config, std::span<const std::int64_t> input_ids, std::span<const Grid> image_grids,
                 std::span<const Grid> video_grids) {
  const MropePositions positions = mrope_positions(prompt_tokens(config), input_ids, image_grids, video_grids);
  const at::Tensor ids = copy_of(input_ids).unsqueeze(0);  // [S] -> [1, S]
  return {.input_ids = ids,
          .attention_mask = at::ones_like(ids),
          .position_ids = copy_of(positions.ids).reshape({3, 1, -1})};  // [3·S] -> [3, 1, S]
}

at::Tensor visual_mask(const ModelConfig& config, const at::Tensor& input_ids) {
  const PromptTokens tokens = prompt_tokens(config);
  return input_ids.eq(tokens.image_token_id).logical_or(input_ids.eq(tokens.video_token_id));
}

TextInput embed_prompt(const ModelConfig& config, const WeightProvider& weights, const Prompt& prompt,
                       const VisionFeatures* vision) {
  TextInput input{.inputs_embeds = embed_tokens(config.text, weights, prompt.input_ids),
                  .attention_mask = prompt.attention_mask,
                  .position_ids = prompt.position_ids,
                  .visual_mask = {},
                  .deepstack = {}};
  const at::Tensor mask = visual_mask(config, prompt.input_ids);
  const std::int64_t placeholders = mask.sum().item<std::int64_t>();
  const std::int64_t features = vision ? vision->features.size(0) : 0;
  if (placeholders != features)
    throw Error(ErrorKind::bad_input, fmt::format("the prompt has {} image and video placeholders, but there are {} "
                                                  "visual features",
                                                  placeholders, features));
  if (vision) {
    input.visual_mask = mask;
    input.inputs_embeds = input.inputs_embeds.masked_scatter(mask.unsqueeze(2), vision->features);  // [B, S, 1]
    input.deepstack = vision->deepstack;
  }
  return input;
}

at::Tensor prompt_logits(const ModelConfig& config, const WeightProvider& weights, const Prompt& prompt,
                         const VisionFeatures* vision, const Observer& observe) {
  const TextInput input = embed_prompt(config, weights, prompt, vision);
  if (observe) observe("inputs_embeds", input.inputs_embeds);
  return lm_head(config.text, weights, text_forward(config.text, weights, input, nullptr, observe));
}

Generation greedy_generate(const ModelConfig& config, const WeightProvider& weights, const Prompt& prompt,
                           const VisionFeatures* vision, std::int64_t steps) {
  Generation generation;
  std::vector<at::Tensor> rows;
  KeyValueCache cache;
  TextInput input = embed_prompt(config, weights, prompt, vision);
  std::int64_t position = prompt.position_ids.max().item<std::int64_t>();
  for (std::int64_t step = 0; step < steps; ++step) {
    const at::Tensor hidden = text_forward(config.text, weights, input, &cache);
    const at::Tensor logits = lm_head(config.text, weights, hidden.select(1, hidden.size(1) - 1));  // [1, vocab_size]
    const at::Tensor token = logits.argmax(-1, /*keepdim=*/true);                                   // [1, 1]
    rows.push_back(logits);
    generation.tokens.push_back(token.item<std::int64_t>());
    // A generated token is text: one position on from the largest so far, on all three axes.
    input = {.inputs_embeds = embed_tokens(config.text, weights, token),
             .attention_mask = at::ones({1, cache.length() + 1}, at::kLong),
             .position_ids = at::full({3, 1, 1}, ++position, at::kLong),
             .visual_mask = {},
             .deepstack = {}};
  }
  generation.logits = at::cat(rows);
  return generation;
}

}  // namespace q3vl::reference
