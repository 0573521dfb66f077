#include "qwen3vl/text/decoder_layer.h"

#include <algorithm>
#include <array>

#include "ops/activation.h"
#include "ops/shape.h"
#include "ops/weight.h"
#include "qwen3vl/kv_cache/kv_cache.h"

namespace q3vl {
namespace {

/// The norm of query or key, over each head by itself: [batch, sequence, heads · head_dim] → the same.
Value head_norm(Graph& g, const Scope& s, const TextConfig& cfg, const Value& x, const Value& gain,
                std::int64_t heads) {
  const Value by_head = reshape(g, s, x, {0, -1, cfg.head_dim});  // [batch, sequence · heads, head_dim]
  const Value normed = rms_norm(g, s, by_head, gain, cfg.rms_norm_eps);
  return reshape(g, s, normed, {0, -1, heads * cfg.head_dim});
}

/// `norm` names what gives `input`.
std::pair<Value, KeyValue> self_attention(const Builder& b, const Scope& s, const TextConfig& cfg, const Scope& norm,
                                          LinearInput& input, const KeyValue& past, const Step& step,
                                          std::int64_t layer) {
  Graph& g = b.graph;
  const std::int64_t q_width = cfg.num_attention_heads * cfg.head_dim;
  const std::int64_t kv_width = cfg.num_key_value_heads * cfg.head_dim;
  const auto project = [&](const char* name, std::int64_t out, Role role) {
    return linear(b, s / name, s / name / "weight", input, cfg.hidden_size, out, {role, layer}, step.accuracy_level);
  };
  const auto gain = [&](const char* name) { return float_weight(b, s / name / "weight", {cfg.head_dim}, Role::norm); };
  const Value query = project("q_proj", q_width, Role::attention_q);
  const Value q = head_norm(g, s / "q_norm", cfg, query, gain("q_norm"), cfg.num_attention_heads);
  const Value key = project("k_proj", kv_width, Role::attention_k);
  const Value k_gain = gain("k_norm");
  const Value k = head_norm(g, s / "k_norm", cfg, key, k_gain, cfg.num_key_value_heads);
  const Value v = project("v_proj", kv_width, Role::attention_v);
  const GroupedHeads heads = {cfg.num_attention_heads, cfg.num_key_value_heads, cfg.head_dim};
  const std::optional<KeyValue> scales = scales_of(b, s, norm, cfg, layer, past, k_gain);
  const auto [mixed, present] = grouped_query_attention(
      g, s, rotate(g, s / "q_rotary", q, step.rotary, cfg.num_attention_heads),
      rotate(g, s / "k_rotary", k, step.rotary, cfg.num_key_value_heads), v, past, step.lengths, heads, scales);
  const Scope out = s / "o_proj";
  LinearInput attended(g, out, mixed);
  return {linear(b, out, out / "weight", attended, q_width, cfg.hidden_size, {Role::attention_o, layer},
                 step.accuracy_level),
          present};
}

/// down(silu(gate(x)) · up(x)). A mixture of experts would be another function of this signature.
Value mlp(const Builder& b, const Scope& s, const TextConfig& cfg, LinearInput& input, const Step& step,
          std::int64_t layer) {
  Graph& g = b.graph;
  const std::int64_t hidden = cfg.hidden_size;
  const std::int64_t inner = cfg.intermediate_size;
  const auto project = [&](const char* name, Role role) {
    return linear(b, s / name, s / name / "weight", input, hidden, inner, {role, layer}, step.accuracy_level);
  };
  const Value gate = project("gate_proj", Role::mlp_gate);
  const Value up = project("up_proj", Role::mlp_up);
  const Scope down = s / "down_proj";
  LinearInput gated(g, down, multiply(g, s, silu(g, s / "act_fn", gate), up));
  return linear(b, down, down / "weight", gated, inner, hidden, {Role::mlp_down, layer}, step.accuracy_level);
}

}  // namespace

std::pair<LinearInput, Value> norm_for(const Builder& b, std::span<const Role> readers, std::int64_t layer,
                                       const Scope& s, const Residual& residual, const TextConfig& cfg) {
  const bool integers = std::ranges::all_of(readers, [&](Role role) {
    return b.weights.encoding({role, layer}).format == Encoding::Format::w8a8;
  });
  const auto [normed, sum] = skip_rms_norm(b, s, residual, cfg.hidden_size, cfg.rms_norm_eps,
                                           integers ? NormOutput::balanced : NormOutput::plain);
  return {LinearInput(b.graph, s, normed, integers ? s.path() : ""), sum};
}

std::pair<Residual, KeyValue> decoder_layer(const Builder& b, const Scope& s, const TextConfig& cfg,
                                            const Residual& residual, const KeyValue& past, const Step& step,
                                            std::int64_t layer) {
  constexpr std::array kAttentionInputs = {Role::attention_q, Role::attention_k, Role::attention_v};
  constexpr std::array kMlpInputs = {Role::mlp_gate, Role::mlp_up};
  const auto norm = [&](const char* name, std::span<const Role> readers, const Residual& stream) {
    return norm_for(b, readers, layer, s / name, stream, cfg);
  };
  auto [h, x] = norm("input_layernorm", kAttentionInputs, residual);
  const auto [attended, present] = self_attention(b, s / "self_attn", cfg, s / "input_layernorm", h, past, step, layer);
  auto [g, y] = norm("post_attention_layernorm", kMlpInputs, {x, attended});
  Value added = mlp(b, s / "mlp", cfg, g, step, layer);
  if (layer < static_cast<std::int64_t>(step.deepstack.size()))
    added = add(b.graph, s / "deepstack", added, step.deepstack[static_cast<std::size_t>(layer)]);
  return {{y, added}, present};
}

}  // namespace q3vl
