// The JSON files beside the weights, as the hub's repositories of Qwen3-VL hold them.
#pragma once

#include "base/json.h"
#include "synth/synth_model.h"

namespace q3vl {

/// How config.json spells the rotary embedding.
enum class RopeDialect {
  rope_scaling,    ///< text_config.rope_theta and rope_scaling: the published checkpoints
  rope_parameters  ///< text_config.rope_parameters: what newer transformers save
};

/// config.json of `model` whose weights are mostly of `type`.
OrderedJson config_json(const SynthModel& model, DataType type, RopeDialect dialect);

OrderedJson generation_config_json(const SynthModel& model);
OrderedJson preprocessor_config_json(const SynthModel& model);
OrderedJson video_preprocessor_config_json(const SynthModel& model);

/// A byte-level BPE tokenizer: one token a byte, a few merges, and Qwen's added tokens from model.first_added_token on.
/// Throws Error(usage) when these do not fit into the vocabulary.
OrderedJson tokenizer_json(const SynthModel& model);

OrderedJson tokenizer_config_json(const SynthModel& model);

/// A Jinja template: ChatML, pictures and videos as their placeholder between <|vision_start|> and <|vision_end|>.
std::string chat_template();

}  // namespace q3vl
