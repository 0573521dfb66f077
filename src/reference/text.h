// The language model of Qwen3-VL, or a plain Qwen3, in float32, with right-padded batches and an optional cache for
// decoding. Source: Hugging Face transformers 5.12.1, Qwen3VLTextModel and Qwen3VLForConditionalGeneration (eager
// attention); for text alone Qwen3ForCausalLM computes the same.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "config/model_config.h"
#include "reference/layers.h"
#include "reference/weights.h"

namespace q3vl::reference {

/// Keys (after the rotary) and values of the tokens so far, one tensor a layer: [B, kv_heads, past, head_dim].
/// Empty before the first step.
struct KeyValueCache {
  std::vector<at::Tensor> keys, values;

  std::int64_t length() const { return keys.empty() ? 0 : keys.front().size(2); }
};

struct TextInput {
  at::Tensor inputs_embeds;           ///< [B, S, H]
  at::Tensor attention_mask;          ///< [B, past + S] int64: 1 for tokens that may be attended to
  at::Tensor position_ids;            ///< [3, B, S] int64: time, height, width
  at::Tensor visual_mask;             ///< [B, S] bool: the placeholder positions; undefined when there are none
  std::vector<at::Tensor> deepstack;  ///< [visual positions, H] a level, in order of the positions
};

/// cos and sin of interleaved MRoPE for `position_ids` [3, B, S]: [B, S, head_dim].
Rotary mrope(const TextConfig& config, const at::Tensor& position_ids);

/// Rows of embed_tokens: [B, S] int64 -> [B, S, H].
at::Tensor embed_tokens(const TextConfig& config, const WeightProvider& weights, const at::Tensor& input_ids);

/// A batch on its way through the decoder's layers.
struct TextState {
  at::Tensor x;               ///< [B, S, H]: the residual stream
  Rotary rotary;              ///< [B, 1, S, head_dim], for all heads
  at::Tensor attention_bias;  ///< [B, 1, S, past + S]: 0 where a query sees a key, the lowest float elsewhere
  at::Tensor visual_mask;     ///< as of the TextInput, as below
  std::vector<at::Tensor> deepstack;
};

/// What comes before the first layer. Observed: text_rope_cos, text_rope_sin.
TextState text_start(const TextConfig& config, const TextInput& input, const Observer& observe = {});

/// One layer and its DeepStack level; `cache` is read and grown by S tokens. Observed: what text_forward observes of
/// it.
void text_layer(const TextConfig& config, const WeightProvider& weights, std::int64_t layer, TextState& state,
                KeyValueCache& cache, const Observer& observe = {});

/// The norm after the last layer: [..., H] -> [..., H].
at::Tensor text_norm(const TextConfig& config, const WeightProvider& weights, const at::Tensor& x);

/// The decoder layers and the final norm: [B, S, H]. A `cache` is read and grown by S tokens; null means no past.
/// Observed: text_rope_cos, text_rope_sin, layer_<i>_out_before_deepstack, layer_<i>_out, present_<i>_key,
/// present_<i>_value, last_hidden_state, and the inputs of matrices, each under the name of the first that reads it:
/// <module>.layers.<i>.self_attn.q_proj.weight.input (of k_proj and v_proj too), self_attn.o_proj, mlp.gate_proj (of
/// up_proj too), mlp.down_proj.
at::Tensor text_forward(const TextConfig& config, const WeightProvider& weights, const TextInput& input,
                        KeyValueCache* cache = nullptr, const Observer& observe = {});

/// lm_head, or embed_tokens when they are tied: [..., H] -> [..., vocab_size].
at::Tensor lm_head(const TextConfig& config, const WeightProvider& weights, const at::Tensor& hidden_states);

}  // namespace q3vl::reference
