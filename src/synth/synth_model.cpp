#include "synth/synth_model.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

namespace q3vl {

const std::array<std::string_view, 26> kQwenAddedTokens = {
    "<|endoftext|>",  "<|im_start|>",   "<|im_end|>",      "<|object_ref_start|>", "<|object_ref_end|>",
    "<|box_start|>",  "<|box_end|>",    "<|quad_start|>",  "<|quad_end|>",         "<|vision_start|>",
    "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>",   "<|video_pad|>",        "<tool_call>",
    "</tool_call>",   "<|fim_prefix|>", "<|fim_middle|>",  "<|fim_suffix|>",       "<|fim_pad|>",
    "<|repo_name|>",  "<|file_sep|>",   "<tool_response>", "</tool_response>",     "<think>",
    "</think>"};

const std::array<std::string_view, 5> kSynthPresets = {"tiny", "2b", "4b", "8b", "32b"};

std::int64_t SynthModel::token_id(std::string_view added_token) const {
  const auto found = std::find(kQwenAddedTokens.begin(), kQwenAddedTokens.end(), added_token);
  if (found == kQwenAddedTokens.end())
    throw Error(ErrorKind::internal, fmt::format("\"{}\" is not one of Qwen's added tokens", added_token));
  return first_added_token + (found - kQwenAddedTokens.begin());
}

namespace {

TextConfig published_text(std::int64_t hidden_size, std::int64_t intermediate_size, std::int64_t layers,
                          std::int64_t heads, bool tied) {
  return {.module = "model.language_model",
          .vocab_size = 151936,
          .hidden_size = hidden_size,
          .intermediate_size = intermediate_size,
          .num_hidden_layers = layers,
          .num_attention_heads = heads,
          .num_key_value_heads = 8,
          .head_dim = 128,
          .max_position_embeddings = 262144,
          .rms_norm_eps = 1e-6,
          .rope_theta = 5e6,
          .mrope_section = {24, 20, 20},
          .rope_scaling = {},
          .tie_word_embeddings = tied};
}

VisionConfig published_vision(std::int64_t depth, std::int64_t hidden_size, std::int64_t intermediate_size,
                              std::vector<std::int64_t> deepstack, std::int64_t out_hidden_size) {
  return {.depth = depth,
          .hidden_size = hidden_size,
          .intermediate_size = intermediate_size,
          .num_heads = 16,
          .in_channels = 3,
          .patch_size = 16,
          .temporal_patch_size = 2,
          .spatial_merge_size = 2,
          .num_position_embeddings = 2304,
          .out_hidden_size = out_hidden_size,
          .deepstack_visual_indexes = std::move(deepstack)};
}

VisionConfig small_vision(std::int64_t out_hidden_size) {
  return published_vision(24, 1024, 4096, {5, 11, 17}, out_hidden_size);
}

VisionConfig large_vision(std::int64_t out_hidden_size) {
  return published_vision(27, 1152, 4304, {8, 16, 24}, out_hidden_size);
}

SynthModel tiny_model() {
  SynthModel model{.text = published_text(128, 256, 4, 4, true),
                   .vision = published_vision(4, 64, 128, {0, 1, 2}, 128),
                   .first_added_token = 2000};
  model.text.vocab_size = 2048;
  model.text.num_key_value_heads = 2;
  model.text.head_dim = 32;
  model.text.max_position_embeddings = 4096;
  model.text.mrope_section = {6, 5, 5};
  model.vision.num_heads = 4;
  model.vision.num_position_embeddings = 256;
  return model;
}

/// Collects tensors; each call below names one part of a layer. Spreads keep the activations near 1 through any number
/// of layers: weights of a linear layer scale with 1 / √inputs, norms are about 1, biases small.
class TensorList {
 public:
  TensorList(DataType type, Distribution distribution) : type_(type), distribution_(distribution) {}

  void add(const std::string& name, Shape shape, double mean, double standard_deviation) {
    const bool matrix = shape.size() > 1;
    tensors_.push_back({.name = name,
                        .type = type_,
                        .shape = std::move(shape),
                        .mean = static_cast<float>(mean),
                        .standard_deviation = static_cast<float>(standard_deviation),
                        .stream = name,
                        .heavy_tails = matrix && distribution_ == Distribution::heavy_tailed,
                        .outlier_rows = false,
                        .outlier_channels = ""});
  }
  void linear(const std::string& name, std::int64_t outputs, std::int64_t inputs) {
    add(name + ".weight", {outputs, inputs}, 0, 1 / std::sqrt(static_cast<double>(inputs)));
  }
  /// Of a layer of the language model.
  void decoder_linear(const std::string& name, std::int64_t outputs, std::int64_t inputs) {
    linear(name, outputs, inputs);
    tensors_.back().outlier_rows = distribution_ == Distribution::outlier_channels;
  }
  /// One that reads the residual stream.
  void reading_linear(const std::string& layer, const std::string& name, std::int64_t outputs, std::int64_t inputs) {
    decoder_linear(layer + name, outputs, inputs);
    if (distribution_ == Distribution::outlier_channels) tensors_.back().outlier_channels = layer;
  }
  void linear_with_bias(const std::string& name, std::int64_t outputs, std::int64_t inputs) {
    linear(name, outputs, inputs);
    bias(name, outputs);
  }
  void bias(const std::string& name, std::int64_t outputs) { add(name + ".bias", {outputs}, 0, 0.05); }
  void rms_norm(const std::string& name, std::int64_t size) { add(name + ".weight", {size}, 1, 0.1); }
  void layer_norm(const std::string& name, std::int64_t size) {
    rms_norm(name, size);
    bias(name, size);
  }
  /// A token table whose rows, as an output head, give normalised hidden states logits of about ±2.
  void token_table(const std::string& name, const TextConfig& text) {
    add(name + ".weight", {text.vocab_size, text.hidden_size}, 0, 2 / std::sqrt(static_cast<double>(text.hidden_size)));
  }

  std::vector<SynthTensor> take() { return std::move(tensors_); }

 private:
  DataType type_;
  Distribution distribution_;
  std::vector<SynthTensor> tensors_;
};

void add_merger(TensorList& list, const std::string& name, const VisionConfig& vision, std::int64_t norm_size) {
  const std::int64_t merged = vision.merged_hidden_size();
  list.layer_norm(name + ".norm", norm_size);
  list.linear_with_bias(name + ".linear_fc1", merged, merged);
  list.linear_with_bias(name + ".linear_fc2", vision.out_hidden_size, merged);
}

void add_vision(TensorList& list, const VisionConfig& vision) {
  const std::string root = "model.visual";
  const std::int64_t hidden = vision.hidden_size;
  list.add(root + ".patch_embed.proj.weight",
           {hidden, vision.in_channels, vision.temporal_patch_size, vision.patch_size, vision.patch_size}, 0,
           1 / std::sqrt(static_cast<double>(vision.patch_values())));
  list.bias(root + ".patch_embed.proj", hidden);
  list.add(root + ".pos_embed.weight", {vision.num_position_embeddings, hidden}, 0, 0.5);
  for (std::int64_t i = 0; i < vision.depth; ++i) {
    const std::string block = fmt::format("{}.blocks.{}", root, i);
    list.layer_norm(block + ".norm1", hidden);
    list.layer_norm(block + ".norm2", hidden);
    list.linear_with_bias(block + ".attn.qkv", 3 * hidden, hidden);
    list.linear_with_bias(block + ".attn.proj", hidden, hidden);
    list.linear_with_bias(block + ".mlp.linear_fc1", vision.intermediate_size, hidden);
    list.linear_with_bias(block + ".mlp.linear_fc2", hidden, vision.intermediate_size);
  }
  add_merger(list, root + ".merger", vision, hidden);
  for (std::size_t i = 0; i < vision.deepstack_visual_indexes.size(); ++i)
    add_merger(list, fmt::format("{}.deepstack_merger_list.{}", root, i), vision, vision.merged_hidden_size());
}

void add_text(TensorList& list, const TextConfig& text) {
  const std::string root = "model.language_model";
  const std::int64_t hidden = text.hidden_size;
  const std::int64_t query = text.num_attention_heads * text.head_dim;
  const std::int64_t key_value = text.num_key_value_heads * text.head_dim;
  list.token_table(root + ".embed_tokens", text);
  for (std::int64_t i = 0; i < text.num_hidden_layers; ++i) {
    const std::string layer = fmt::format("{}.layers.{}", root, i);
    list.reading_linear(layer, ".self_attn.q_proj", query, hidden);
    list.reading_linear(layer, ".self_attn.k_proj", key_value, hidden);
    list.reading_linear(layer, ".self_attn.v_proj", key_value, hidden);
    list.decoder_linear(layer + ".self_attn.o_proj", hidden, query);
    list.rms_norm(layer + ".self_attn.q_norm", text.head_dim);
    list.rms_norm(layer + ".self_attn.k_norm", text.head_dim);
    list.reading_linear(layer, ".mlp.gate_proj", text.intermediate_size, hidden);
    list.reading_linear(layer, ".mlp.up_proj", text.intermediate_size, hidden);
    list.decoder_linear(layer + ".mlp.down_proj", hidden, text.intermediate_size);
    list.rms_norm(layer + ".input_layernorm", hidden);
    list.rms_norm(layer + ".post_attention_layernorm", hidden);
  }
  list.rms_norm(root + ".norm", hidden);
  if (!text.tie_word_embeddings) list.token_table("lm_head", text);
}

}  // namespace

SynthModel synth_preset(std::string_view preset) {
  constexpr std::int64_t kFirstAddedToken = 151643;
  if (preset == "tiny") return tiny_model();
  if (preset == "2b") return {published_text(2048, 6144, 28, 16, true), small_vision(2048), kFirstAddedToken};
  if (preset == "4b") return {published_text(2560, 9728, 36, 32, true), small_vision(2560), kFirstAddedToken};
  if (preset == "8b") return {published_text(4096, 12288, 36, 32, false), large_vision(4096), kFirstAddedToken};
  if (preset == "32b") return {published_text(5120, 25600, 64, 64, false), large_vision(5120), kFirstAddedToken};
  throw Error(ErrorKind::usage,
              fmt::format("there is no preset \"{}\"; presets: {}", preset, fmt::join(kSynthPresets, ", ")));
}

std::vector<SynthTensor> synthetic_tensors(const SynthModel& model, DataType type, Distribution distribution) {
  TensorList list(type, distribution);
  add_vision(list, model.vision);
  add_text(list, model.text);
  return list.take();
}

}  // namespace q3vl
