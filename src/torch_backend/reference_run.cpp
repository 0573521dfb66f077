#include "torch_backend/reference_run.h"

#include <ATen/ATen.h>

#include <optional>

#include "base/parallel.h"
#include "reference/model.h"
#include "torch_backend/held_weights.h"
#include "torch_backend/prompt_features.h"

namespace q3vl {
namespace {

/// Rows `positions` of `x` along `axis`.
at::Tensor rows_of(const at::Tensor& x, std::int64_t axis, const std::vector<std::int64_t>& positions) {
  return x.index_select(axis, at::tensor(positions, at::kLong));
}

/// [tokens, (1+D)·H]
HostTensor side_by_side(const reference::VisionFeatures& features) {
  std::vector<at::Tensor> levels = {features.features};
  levels.insert(levels.end(), features.deepstack.begin(), features.deepstack.end());
  return to_host(at::cat(levels, 1));
}

}  // namespace

HostTensor image_features(const ModelConfig& config, const std::vector<Patches>& pictures,
                          const ReferenceWeights& weights) {
  const at::NoGradGuard inference;
  Prompt prompt;
  for (const Patches& picture : pictures) prompt.pictures.push_back({picture, false});
  HeldWeights held(weights);
  const auto features = prompt_features(config, {&prompt}, held.provider(), [&] {
    held.release();
    throw_if_interrupted();
  });
  return side_by_side(*features.front());
}

std::vector<ReferenceResult> run_reference(const ReferenceRequest& request) {
  const at::NoGradGuard inference;
  const ModelConfig& config = *request.config;
  const std::vector<ReferenceCase>& cases = *request.cases;
  bool pictures = false;
  for (const ReferenceCase& item : cases) pictures = pictures || !item.prompt.pictures.empty();
  const std::int64_t total = (pictures ? config.vision->depth : 0) + config.text.num_hidden_layers;
  std::int64_t done = 0;
  const auto layer_done = [&] { request.progress(++done, total); };

  HeldWeights held(request.weights);
  const reference::WeightProvider weights = held.provider();
  std::vector<const Prompt*> prompts;
  for (const ReferenceCase& item : cases) prompts.push_back(&item.prompt);
  const auto vision = prompt_features(config, prompts, weights, [&] {
    held.release();
    layer_done();
  });
  held.release();

  std::vector<ReferenceResult> results(cases.size());
  std::vector<reference::TextState> states;
  {
    HeldWeights table(request.embedding);
    for (std::size_t i = 0; i < cases.size(); ++i) {
      const reference::VisionFeatures* features = vision[i] ? &*vision[i] : nullptr;
      const reference::TextInput input =
          reference::embed_prompt(config, table.provider(), reference_prompt(config, cases[i].prompt), features);
      results[i].inputs_embeds = to_host(input.inputs_embeds.squeeze(0));
      if (features) {
        results[i].features = side_by_side(*features);
      }
      states.push_back(reference::text_start(config.text, input));
    }
  }
  for (std::int64_t layer = 0; layer < config.text.num_hidden_layers; ++layer) {
    for (std::size_t i = 0; i < cases.size(); ++i) {
      reference::KeyValueCache cache;
      cache.keys.resize(static_cast<std::size_t>(layer));  // text_layer grows the cache behind the layers before
      cache.values.resize(static_cast<std::size_t>(layer));
      reference::text_layer(config.text, weights, layer, states[i], cache);
      const std::vector<std::int64_t>& positions = cases[i].positions;
      results[i].hidden.push_back(to_host(rows_of(states[i].x.squeeze(0), 0, positions)));
      results[i].keys.push_back(to_host(rows_of(cache.keys.back().squeeze(0), 1, positions)));
      results[i].values.push_back(to_host(rows_of(cache.values.back().squeeze(0), 1, positions)));
    }
    held.release();
    layer_done();
  }
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const at::Tensor rows = rows_of(states[i].x.squeeze(0), 0, cases[i].positions);
    results[i].logits =
        to_host(reference::lm_head(config.text, weights, reference::text_norm(config.text, weights, rows)));
  }
  return results;
}

}  // namespace q3vl
