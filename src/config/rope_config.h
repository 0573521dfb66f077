// How the language model turns positions into rotations: rope_theta with rope_scaling, or rope_parameters.
#pragma once

#include <string>
#include <vector>

#include "config/model_config.h"

namespace q3vl {

/// Reads rope_theta, mrope_section (of models with `three_axes`, which need it) and the scaling into `config`, whose
/// other numbers are there already. `text` is text_config, or a plain language model's whole config. Where two homes
/// say different things, rope_scaling comes before rope_parameters, and a rope_theta inside either before one outside,
/// as in Hugging Face; `warnings` gets a sentence then. Throws Error(bad_input) for what is missing or contradictory,
/// and Error(unsupported) for types whose frequencies depend on the prompt's length ("dynamic", "longrope"), for other
/// types, and for MRoPE that is not interleaved. Source: Hugging Face transformers 5.12.1, RotaryEmbeddingConfigMixin
/// and modeling_rope_utils.
void parse_rope(const JsonObject& text, bool three_axes, TextConfig& config, std::vector<std::string>& warnings);

}  // namespace q3vl
