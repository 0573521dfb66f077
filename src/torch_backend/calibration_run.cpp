#include "torch_backend/calibration_run.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>
#include <map>
#include <optional>
#include <string_view>

#include "base/parallel.h"
#include "qwen3vl_export/error.h"
#include "reference/model.h"
#include "tensors/shared_work.h"
#include "torch_backend/feedback_factors.h"
#include "torch_backend/held_weights.h"
#include "torch_backend/prompt_features.h"

namespace q3vl {
namespace {

constexpr std::int64_t kBlockRows = 128;
constexpr std::int64_t kBlockColumns = 512;

/// Adds xᵀ·x to the upper triangle of `sum`, and to the blocks on its diagonal: the rest would be the same products.
void add_products(const at::Tensor& sum, const at::Tensor& x) {
  const std::int64_t size = x.size(1);
  share_ranges(size, kBlockRows, size * size * x.size(0), [&](std::int64_t begin, std::int64_t rows) {
    sum.narrow(0, begin, rows)
        .narrow(1, begin, size - begin)
        .addmm_(x.narrow(1, begin, rows).t(), x.narrow(1, begin, size - begin));
  });
}

/// Adds the sums of x² over the rows to `sum`.
void add_squares(const at::Tensor& sum, const at::Tensor& x) {
  share_ranges(x.size(1), kBlockColumns, 2 * x.numel(), [&](std::int64_t begin, std::int64_t columns) {
    sum.narrow(0, begin, columns).add_(x.narrow(1, begin, columns).square().sum(0, /*keepdim=*/false, at::kDouble));
  });
}

/// Sums over the tokens that a matrix was given.
class InputSums {
 public:
  explicit InputSums(bool feedback) : feedback_(feedback) {}

  /// Adds the rows of `input` [..., K].
  void add(const at::Tensor& input) {
    const at::Tensor x = input.reshape({-1, input.size(-1)});
    if (tokens_ == 0) {
      squares_ = at::zeros({x.size(1)}, at::kDouble);
      if (feedback_) hessian_ = at::zeros({x.size(1), x.size(1)}, at::kFloat);
    }
    tokens_ += x.size(0);
    add_squares(squares_, x);
    if (feedback_) add_products(hessian_, x);
  }

  /// What the sums say of `weight`; they are used up.
  SiteFindings findings(const std::string& weight, const CalibrationRequest& request) {
    const at::Tensor moments = (squares_ / static_cast<double>(tokens_)).to(at::kFloat);
    if (!at::isfinite(moments).all().item<bool>())
      throw Error(ErrorKind::bad_input,
                  fmt::format("the inputs of \"{}\" are not finite, or too large for float32: the calibration data "
                              "overflow in this checkpoint",
                              weight));
    const float* values = moments.data_ptr<float>();
    SiteFindings findings{.weight = weight, .second_moment = {values, values + moments.numel()}, .feedback = {}};
    if (!feedback_) return findings;
    hessian_.div_(static_cast<double>(tokens_));
    std::optional<FeedbackFactors> factors = feedback_factors(std::move(hessian_), request.damping);
    if (!factors)
      throw Error(ErrorKind::bad_input,
                  fmt::format("the Hessian of the inputs of \"{}\" has no Cholesky factor, not even with a damping of "
                              "{:g} times the mean of its diagonal",
                              weight, request.damping * std::pow(10.0, kDampingRaises)));
    if (factors->damping > request.damping)
      request.warning(fmt::format("{}: the Hessian of its inputs needed a damping of {:g} instead of {:g}", weight,
                                  factors->damping, request.damping));
    findings.feedback = std::move(factors->triangle);
    return findings;
  }

 private:
  bool feedback_;
  std::int64_t tokens_ = 0;
  at::Tensor squares_;  // [K] float64
  at::Tensor hessian_;  // [K, K] float32: the upper triangle of x·xᵀ
};

/// What goes into the first layer.
void begin(const CalibrationRequest& request) {
  const ModelConfig& config = *request.config;
  HeldWeights held(request.weights);
  for (const Prompt& prompt : *request.prompts) {
    // The tower stays in memory: a prompt at a time, it is its activations that need room.
    const auto features = prompt_features(config, {&prompt}, held.provider(), throw_if_interrupted).front();
    const reference::TextInput input = reference::embed_prompt(
        config, held.provider(), reference_prompt(config, prompt), features ? &*features : nullptr);
    request.state->hidden.push_back(to_host(input.inputs_embeds.squeeze(0)));
    std::vector<HostTensor>& levels = request.state->deepstack.emplace_back();
    for (const at::Tensor& level : input.deepstack) levels.push_back(to_host(level));
    throw_if_interrupted();
  }
}

reference::TextState resumed(const CalibrationRequest& request, std::size_t index) {
  const ModelConfig& config = *request.config;
  const reference::Prompt prompt = reference_prompt(config, (*request.prompts)[index]);
  reference::TextInput input{.inputs_embeds = view_of(request.state->hidden[index]).unsqueeze(0),
                             .attention_mask = prompt.attention_mask,
                             .position_ids = prompt.position_ids,
                             .visual_mask = reference::visual_mask(config, prompt.input_ids),
                             .deepstack = {}};
  for (HostTensor& level : request.state->deepstack[index]) input.deepstack.push_back(view_of(level));
  return reference::text_start(config.text, input);
}

}  // namespace

void run_calibration(const CalibrationRequest& request) {
  const at::NoGradGuard inference;
  const ModelConfig& config = *request.config;
  CalibrationState& state = *request.state;
  if (state.hidden.empty()) {
    begin(request);
    request.advanced();
  }
  HeldWeights held(request.weights);
  while (state.layers_done < config.text.num_hidden_layers) {
    std::map<std::string, InputSums> sites;
    const reference::Observer observe = [&](const std::string& name, const at::Tensor& value) {
      constexpr std::string_view kInput = ".input";
      if (!name.ends_with(kInput)) return;
      sites.try_emplace(name.substr(0, name.size() - kInput.size()), request.feedback).first->second.add(value);
    };
    for (std::size_t i = 0; i < state.hidden.size(); ++i) {
      throw_if_interrupted();
      const auto layer = static_cast<std::size_t>(state.layers_done);
      reference::KeyValueCache cache;
      cache.keys.resize(layer);  // text_layer grows the cache behind the layers before
      cache.values.resize(layer);
      reference::TextState prompt = resumed(request, i);
      reference::text_layer(config.text, held.provider(), state.layers_done, prompt, cache, observe);
      view_of(state.hidden[i]).copy_(prompt.x.squeeze(0));
    }
    held.release();
    while (!sites.empty()) {
      throw_if_interrupted();
      auto site = sites.extract(sites.begin());
      request.found(site.mapped().findings(site.key(), request));
    }
    if (++state.layers_done == config.deepstack_levels())
      for (std::vector<HostTensor>& levels : state.deepstack) levels.clear();
    if (state.layers_done < config.text.num_hidden_layers) request.advanced();
  }
  InputSums head(/*feedback=*/false);
  for (HostTensor& hidden : state.hidden) head.add(reference::text_norm(config.text, held.provider(), view_of(hidden)));
  request.found(head.findings(config.text.head_weight(), request));
  request.advanced();
}

}  // namespace q3vl
