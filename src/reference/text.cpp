#include "reference/text.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <string>

namespace q3vl::reference {
namespace {

/// What is added to the scores, [B, 1, S, past + S]: 0 where a query may see a key, the lowest float elsewhere. A query
/// sees attended keys up to itself.
at::Tensor attention_bias(const at::Tensor& attention_mask, std::int64_t sequence) {
  const std::int64_t total = attention_mask.size(1);
  const at::Tensor query = at::arange(total - sequence, total, at::kLong).unsqueeze(1);  // [S, 1]
  const at::Tensor key = at::arange(total, at::kLong).unsqueeze(0);                      // [1, past + S]
  const at::Tensor visible =
      (key <= query).unsqueeze(0).logical_and(attention_mask.to(at::kBool).unsqueeze(1));  // [B, S, past + S]
  return at::zeros_like(visible, at::kFloat)
      .masked_fill(visible.logical_not(), std::numeric_limits<float>::lowest())
      .unsqueeze(1);
}

/// Grouped-query attention with RMS-normalised queries and keys: [B, S, H] -> [B, S, H].
at::Tensor attention(const TextConfig& config, const WeightProvider& weights, const std::string& name,
                     const at::Tensor& x, const Rotary& rotary, const at::Tensor& bias, std::size_t layer,
                     KeyValueCache& cache, const Observer& observe) {
  const auto seen = [&](const char* projection, const at::Tensor& value) {
    if (observe) observe(name + projection + ".weight.input", value);
  };
  const std::int64_t batch = x.size(0);
  const std::int64_t sequence = x.size(1);
  const auto project = [&](const char* projection, std::int64_t heads) {  // [B, S, H] -> [B, S, heads, d]
    return linear_no_bias(weights, name + projection, x).reshape({batch, sequence, heads, config.head_dim});
  };
  seen(".q_proj", x);
  // [B, S, heads, d] -> [B, heads, S, d]
  at::Tensor q = project(".q_proj", config.num_attention_heads);
  q = apply_rotary(rms_norm(weights, name + ".q_norm", q, config.rms_norm_eps).transpose(1, 2), rotary);
  at::Tensor k = project(".k_proj", config.num_key_value_heads);
  k = apply_rotary(rms_norm(weights, name + ".k_norm", k, config.rms_norm_eps).transpose(1, 2), rotary);
  at::Tensor v = project(".v_proj", config.num_key_value_heads).transpose(1, 2);

  if (layer < cache.keys.size()) {
    cache.keys[layer] = at::cat({cache.keys[layer], k}, 2);
    cache.values[layer] = at::cat({cache.values[layer], v}, 2);
  } else {
    cache.keys.push_back(k);
    cache.values.push_back(v);
  }

  std::vector<at::Tensor> outputs;  // [S, heads·d]
  for (std::int64_t i = 0; i < batch; ++i)
    outputs.push_back(attend(q[i], cache.keys[layer][i], cache.values[layer][i], bias[i][0]));
  const at::Tensor output = at::stack(outputs);
  seen(".o_proj", output);
  return linear_no_bias(weights, name + ".o_proj", output);
}

at::Tensor mlp(const WeightProvider& weights, const std::string& name, const at::Tensor& x, const Observer& observe) {
  if (observe) observe(name + ".gate_proj.weight.input", x);
  const at::Tensor gate = at::silu(linear_no_bias(weights, name + ".gate_proj", x));
  const at::Tensor gated = gate * linear_no_bias(weights, name + ".up_proj", x);
  if (observe) observe(name + ".down_proj.weight.input", gated);
  return linear_no_bias(weights, name + ".down_proj", gated);
}

/// The inverse frequencies of the model's rope type, [head_dim / 2]: _compute_linear_scaling_rope_parameters and
/// _compute_yarn_parameters of Hugging Face's modeling_rope_utils.
at::Tensor scaled_frequencies(const TextConfig& config) {
  const RopeScaling& scaling = config.rope_scaling;
  const at::Tensor unscaled = inverse_frequencies(config.rope_theta, config.head_dim);
  if (scaling.type == RopeScaling::Type::none) return unscaled;
  if (scaling.type == RopeScaling::Type::linear) return unscaled / scaling.factor;
  const auto dim = static_cast<double>(config.head_dim);
  const auto dimension_of = [&](double rotations) {
    const auto context = static_cast<double>(scaling.original_max_position_embeddings);
    return dim * std::log(context / (rotations * 2 * M_PI)) / (2 * std::log(config.rope_theta));
  };
  double low = dimension_of(scaling.beta_fast);
  double high = dimension_of(scaling.beta_slow);
  if (scaling.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, dim - 1);
  if (low == high) high += 0.001;
  const at::Tensor ramp = ((at::arange(config.head_dim / 2, at::kFloat) - low) / (high - low)).clamp(0, 1);
  const at::Tensor powers = at::pow(config.rope_theta, at::arange(0, config.head_dim, 2, at::kFloat) / dim);
  const at::Tensor extrapolated = 1.0 - ramp;
  return 1.0 / (scaling.factor * powers) * (1.0 - extrapolated) + 1.0 / powers * extrapolated;
}

}  // namespace

Rotary mrope(const TextConfig& config, const at::Tensor& position_ids) {
  // [3, B, S, 1]·[d/2] -> [3, B, S, d/2]
  const at::Tensor all = position_ids.unsqueeze(3) * scaled_frequencies(config);
  // All frequencies turn with time, then height takes 1, 4, 7 … and width 2, 5, 8 … below 3 × their sections; a plain
  // language model has no sections, so that the first axis keeps all.
  at::Tensor freqs = all[0].clone();
  const auto axes = static_cast<std::int64_t>(config.mrope_section.size());
  for (std::int64_t axis = 1; axis < axes; ++axis) {
    const std::int64_t end = 3 * config.mrope_section[static_cast<std::size_t>(axis)];
    freqs.slice(-1, axis, end, 3).copy_(all[axis].slice(-1, axis, end, 3));
  }
  Rotary rotary = rotary_of(freqs);
  if (const double factor = config.rope_scaling.attention_factor; factor != 1)
    rotary = {rotary.cos * factor, rotary.sin * factor};
  return rotary;
}

at::Tensor embed_tokens(const TextConfig& config, const WeightProvider& weights, const at::Tensor& input_ids) {
  return at::embedding(weights(config.module + ".embed_tokens.weight"), input_ids);
}

TextState text_start(const TextConfig& config, const TextInput& input, const Observer& observe) {
  const Rotary rotary = mrope(config, input.position_ids);
  if (observe) {
    observe("text_rope_cos", rotary.cos);
    observe("text_rope_sin", rotary.sin);
  }
  return {.x = input.inputs_embeds,
          .rotary = {rotary.cos.unsqueeze(1), rotary.sin.unsqueeze(1)},  // [B, S, d] -> [B, 1, S, d]
          .attention_bias = attention_bias(input.attention_mask, input.inputs_embeds.size(1)),
          .visual_mask = input.visual_mask,
          .deepstack = input.deepstack};
}

void text_layer(const TextConfig& config, const WeightProvider& weights, std::int64_t layer, TextState& state,
                KeyValueCache& cache, const Observer& observe) {
  const auto seen = [&observe](const std::string& name, const at::Tensor& value) {
    if (observe) observe(name, value);
  };
  const auto level = static_cast<std::size_t>(layer);
  const std::string name = fmt::format("{}.layers.{}", config.module, layer);
  at::Tensor& x = state.x;
  x = x + attention(config, weights, name + ".self_attn",
                    rms_norm(weights, name + ".input_layernorm", x, config.rms_norm_eps), state.rotary,
                    state.attention_bias, level, cache, observe);
  x = x + mlp(weights, name + ".mlp", rms_norm(weights, name + ".post_attention_layernorm", x, config.rms_norm_eps),
              observe);
  seen(fmt::format("present_{}_key", layer), cache.keys[level]);
  seen(fmt::format("present_{}_value", layer), cache.values[level]);
  seen(fmt::format("layer_{}_out_before_deepstack", layer), x);
  if (level < state.deepstack.size()) {
    x = x.clone();
    x.index_put_({state.visual_mask}, state.deepstack[level], /*accumulate=*/true);
  }
  seen(fmt::format("layer_{}_out", layer), x);
}

at::Tensor text_norm(const TextConfig& config, const WeightProvider& weights, const at::Tensor& x) {
  return rms_norm(weights, config.module + ".norm", x, config.rms_norm_eps);
}

at::Tensor text_forward(const TextConfig& config, const WeightProvider& weights, const TextInput& input,
                        KeyValueCache* cache, const Observer& observe) {
  KeyValueCache fresh;
  TextState state = text_start(config, input, observe);
  for (std::int64_t layer = 0; layer < config.num_hidden_layers; ++layer)
    text_layer(config, weights, layer, state, cache ? *cache : fresh, observe);
  const at::Tensor hidden = text_norm(config, weights, state.x);
  if (observe) observe("last_hidden_state", hidden);
  return hidden;
}

at::Tensor lm_head(const TextConfig& config, const WeightProvider& weights, const at::Tensor& hidden_states) {
  return times_transposed(hidden_states, weights(config.head_weight()));
}

}  // namespace q3vl::reference
