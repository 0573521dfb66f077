// What config.json says about a Qwen3-VL model, or a plain Qwen3 language model. Parsed, then validated; nothing is
// invented and nothing adjusted.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"
#include "config/rope_scaling.h"

namespace q3vl {

/// The visual tower: `vision_config`.
struct VisionConfig {
  std::int64_t depth;              ///< blocks
  std::int64_t hidden_size;        ///< width of a patch
  std::int64_t intermediate_size;  ///< width of a block's MLP
  std::int64_t num_heads;
  std::int64_t in_channels;
  std::int64_t patch_size;               ///< pixels a side
  std::int64_t temporal_patch_size;      ///< frames a patch
  std::int64_t spatial_merge_size;       ///< patches a side that become one token
  std::int64_t num_position_embeddings;  ///< a square table
  std::int64_t out_hidden_size;          ///< width of a token; equal to the text model's hidden_size
  std::vector<std::int64_t>
      deepstack_visual_indexes;  ///< blocks after which a DeepStack merger taps, as the config lists them

  std::int64_t head_dim() const { return hidden_size / num_heads; }
  std::int64_t merge_unit() const { return spatial_merge_size * spatial_merge_size; }  ///< patches a token
  std::int64_t merged_hidden_size() const { return hidden_size * merge_unit(); }
  std::int64_t patch_values() const { return in_channels * temporal_patch_size * patch_size * patch_size; }
  std::int64_t position_table_side() const;
};

/// The language model: `text_config`, or the whole of a plain language model's config.json.
struct TextConfig {
  std::string module;  ///< that holds its weights: "model.language_model", or "model" in a plain language model
  std::int64_t vocab_size;
  std::int64_t hidden_size;
  std::int64_t intermediate_size;
  std::int64_t num_hidden_layers;
  std::int64_t num_attention_heads;
  std::int64_t num_key_value_heads;
  std::int64_t head_dim;
  std::int64_t max_position_embeddings;
  double rms_norm_eps;
  double rope_theta;
  std::vector<std::int64_t> mrope_section;  ///< frequencies of the time, height and width axes; sums to head_dim / 2;
                                            ///< empty in a plain language model, which has one axis
  RopeScaling rope_scaling;
  bool tie_word_embeddings;  ///< lm_head is embed_tokens

  /// The name of the output layer's matrix: that of the embedding table when the two are tied.
  std::string head_weight() const { return tie_word_embeddings ? module + ".embed_tokens.weight" : "lm_head.weight"; }
};

struct ModelConfig {
  TextConfig text;
  std::optional<VisionConfig> vision;          ///< nothing in a plain language model
  std::optional<std::int64_t> image_token_id;  ///< this and the three below: with `vision`, and only then
  std::optional<std::int64_t> video_token_id;
  std::optional<std::int64_t> vision_start_token_id;
  std::optional<std::int64_t> vision_end_token_id;
  std::optional<std::int64_t> bos_token_id;  ///< as text_config says, or else the top of config.json; here and below
  std::vector<std::int64_t> eos_token_ids;   ///< may be empty
  std::optional<std::int64_t> pad_token_id;
  std::vector<std::string> warnings;  ///< where two keys say different things: which of them counts

  /// D: the DeepStack levels; none in a plain language model.
  std::int64_t deepstack_levels() const {
    return vision ? static_cast<std::int64_t>(vision->deepstack_visual_indexes.size()) : 0;
  }

  /// (1+D)·H: the merged features and the D DeepStack tensors side by side.
  std::int64_t features_width() const { return (1 + deepstack_levels()) * text.hidden_size; }
};

/// Parses the document of a config.json of model_type "qwen3_vl" or "qwen3"; `origin` (its path) opens the messages.
/// Both dialects are read: rope_theta + rope_scaling, and rope_parameters. Throws Error(bad_input) for what is missing
/// or contradictory and Error(unsupported) for what is sound but not exported: other architectures, rope types,
/// activations, biases, sliding windows, and any other key known to change what a model computes, unless its value
/// leaves it as it is.
/// Source: Hugging Face transformers 5.12.1, Qwen3VLConfig and Qwen3Config.
ModelConfig parse_model_config(const Json& document, const std::string& origin);

/// Reads `checkpoint`/config.json.
ModelConfig read_model_config(const std::filesystem::path& checkpoint);

}  // namespace q3vl
