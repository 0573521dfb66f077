#include "torch_backend/reference_run.h"

#include <ATen/ATen.h>

#include <map>

#include "reference/model.h"
#include "tensors/tensor_reader.h"

namespace q3vl {
namespace {

/// A provider that asks for each weight once, until it is told to let go.
class HeldWeights {
 public:
  explicit HeldWeights(const ReferenceWeights& source) : source_(source) {}

  at::Tensor operator()(const std::string& name) {
    const auto [place, is_new] = held_.try_emplace(name);
    if (is_new) {
      auto owner = std::make_shared<HostTensor>(source_(name));
      place->second = at::from_blob(
          owner->bytes.data(), owner->shape, [owner](void*) {}, at::TensorOptions(torch_type(owner->type)));
    }
    return place->second;
  }
  void release() { held_.clear(); }

 private:
  const ReferenceWeights& source_;
  std::map<std::string, at::Tensor> held_;
};

/// Rows `positions` of `x` along `axis`.
at::Tensor rows_of(const at::Tensor& x, std::int64_t axis, const std::vector<std::int64_t>& positions) {
  return x.index_select(axis, at::tensor(positions, at::kLong));
}

HostTensor to_host(const at::Tensor& tensor) {
  const at::Tensor values = tensor.to(at::kFloat).contiguous();
  return HostTensor::of<float>({values.sizes().begin(), values.sizes().end()},
                               {values.data_ptr<float>(), static_cast<std::size_t>(values.numel())});
}

/// The grids of a case's pictures: all, or only images or clips.
std::vector<Grid> grids_of(const Prompt& prompt, std::optional<bool> video) {
  std::vector<Grid> grids;
  for (const PromptPicture& picture : prompt.pictures)
    if (!video || picture.video == *video) grids.push_back(picture.patches.grid);
  return grids;
}

/// The visual tower over the pictures of all cases at once; each case gets its rows.
std::vector<std::optional<reference::VisionFeatures>> run_vision(const ReferenceRequest& request,
                                                                 const std::function<void()>& layer_done) {
  const ModelConfig& config = *request.config;
  std::vector<Grid> grids;
  std::vector<float> pixels;
  for (const ReferenceCase& item : *request.cases)
    for (const PromptPicture& picture : item.prompt.pictures) {
      grids.push_back(picture.patches.grid);
      pixels.insert(pixels.end(), picture.patches.pixel_values.begin(), picture.patches.pixel_values.end());
    }
  std::vector<std::optional<reference::VisionFeatures>> all(request.cases->size());
  if (grids.empty()) return all;
  HeldWeights weights(request.weights);
  const std::int64_t width = config.vision->patch_values();
  const at::Tensor patches = at::from_blob(pixels.data(), {static_cast<std::int64_t>(pixels.size()) / width, width},
                                           at::TensorOptions(at::kFloat));
  const reference::VisionFeatures features = reference::vision_forward(
      *config.vision, [&](const std::string& name) { return weights(name); }, patches, grids,
      [&](const std::string& name, const at::Tensor&) {
        if (!name.starts_with("block_")) return;
        weights.release();
        layer_done();
      });
  std::int64_t begin = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    std::int64_t tokens = 0;
    for (const Grid& grid : grids_of((*request.cases)[i].prompt, std::nullopt))
      tokens += grid.patches() / config.vision->merge_unit();
    if (tokens == 0) continue;
    const auto part = [&](const at::Tensor& whole) { return whole.narrow(0, begin, tokens); };
    reference::VisionFeatures& mine = all[i].emplace();
    mine.features = part(features.features);
    for (const at::Tensor& level : features.deepstack) mine.deepstack.push_back(part(level));
    begin += tokens;
  }
  return all;
}

}  // namespace

std::vector<ReferenceResult> run_reference(const ReferenceRequest& request) {
  const at::NoGradGuard inference;
  const ModelConfig& config = *request.config;
  const std::vector<ReferenceCase>& cases = *request.cases;
  bool pictures = false;
  for (const ReferenceCase& item : cases) pictures = pictures || !item.prompt.pictures.empty();
  const std::int64_t total = (pictures ? config.vision->depth : 0) + config.text.num_hidden_layers;
  std::int64_t done = 0;
  const auto layer_done = [&] { request.progress(++done, total); };

  const auto vision = run_vision(request, layer_done);
  HeldWeights held(request.weights);
  const reference::WeightProvider weights = [&](const std::string& name) { return held(name); };

  std::vector<ReferenceResult> results(cases.size());
  std::vector<reference::TextState> states;
  {
    HeldWeights table(request.embedding);
    for (std::size_t i = 0; i < cases.size(); ++i) {
      const reference::VisionFeatures* features = vision[i] ? &*vision[i] : nullptr;
      const Prompt& prompt = cases[i].prompt;
      const reference::Prompt tokens =
          reference::prompt_of(config, prompt.input_ids, grids_of(prompt, false), grids_of(prompt, true));
      const reference::TextInput input = reference::embed_prompt(
          config, [&](const std::string& name) { return table(name); }, tokens, features);
      results[i].inputs_embeds = to_host(input.inputs_embeds.squeeze(0));
      if (features) {
        std::vector<at::Tensor> levels = {features->features};
        levels.insert(levels.end(), features->deepstack.begin(), features->deepstack.end());
        results[i].features = to_host(at::cat(levels, 1));
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
