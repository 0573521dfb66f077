// generation_config.json: how the model's makers sample from it. Optional in a checkpoint.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "config/model_config.h"

namespace q3vl {

struct GenerationConfig {
  std::int64_t bos_token_id;
  std::int64_t pad_token_id;
  std::vector<std::int64_t> eos_token_ids;  ///< at least one
  bool do_sample = false;
  std::int64_t top_k = 50;  ///< Hugging Face's defaults, here and below
  double top_p = 1.0;
  double temperature = 1.0;
  double repetition_penalty = 1.0;
};

/// Takes the document of a generation_config.json over what config.json says of the token ids. Without an
/// end-of-sequence id in either: Error(bad_input). A missing pad or bos id becomes the last end-of-sequence id, which
/// never occurs in a prompt's text. `origin` (its path) opens the messages.
GenerationConfig parse_generation_config(const Json& document, const std::string& origin, const ModelConfig& model);

/// Reads `checkpoint`/generation_config.json; a missing one says nothing. Token ids come from it, then from
/// config.json's text_config, then from its top, and the end of a sequence at last from the token that
/// tokenizer_config.json names.
GenerationConfig read_generation_config(const std::filesystem::path& checkpoint, const ModelConfig& model);

}  // namespace q3vl
