// What a package's JSON files tell a client that runs it, read as onnxruntime-genai reads them.
// Contract: genai_config.json and the image processor's JSON of microsoft/onnxruntime-genai 0.12.2 and later.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "config/image_config.h"
#include "prompt/mrope_positions.h"
#include "runtime/sampler.h"

namespace q3vl {

/// `model.decoder`: the text decoder's file, sizes and names. The cache's names have "%d" for the layer.
struct DecoderConfig {
  std::filesystem::path file;
  std::int64_t hidden_size;  ///< the last size of image_features and inputs_embeds: (1+D)·H
  std::int64_t head_size;
  std::int64_t num_hidden_layers;
  std::int64_t num_key_value_heads;
  std::string tokens;  ///< the input that the prompt enters by: inputs_embeds, or input_ids of a text-only package
  std::string attention_mask;
  std::string position_ids;
  std::string past_key, past_value;
  std::string logits;
  std::string present_key, present_value;
};

/// `model.vision` and `model.embedding`.
struct PictureConfig {
  std::filesystem::path vision_file;
  std::string pixel_values, image_grid_thw;
  std::string vision_output;
  std::filesystem::path embedding_file;
  std::string input_ids, image_features;
  std::string inputs_embeds;
  PromptTokens tokens;
  ImageConfig image;  ///< from the file that `model.vision.config_filename` names
  ImageConfig video;  ///< of a clip; its pixels are those of all frames together
};

struct PackageConfig {
  std::vector<std::int64_t> eos_token_ids;
  std::int64_t vocab_size;
  std::int64_t max_length;         ///< `search.max_length`: the cache's length in shared mode
  SamplingSettings sampling;       ///< of `search`
  bool past_present_share_buffer;  ///< `search.past_present_share_buffer`
  DecoderConfig decoder;
  std::optional<PictureConfig> pictures;  ///< nothing in a text-only package (model.type "qwen3")
};

/// Reads `package`/genai_config.json and the image processor's file. Throws Error(bad_input) for what is missing or
/// wrong and Error(unsupported) for a model.type other than "qwen3_vl" and "qwen3".
PackageConfig read_package_config(const std::filesystem::path& package);

}  // namespace q3vl
