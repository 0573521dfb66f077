// Checkpoint folders as people have them: what lies there when it is no checkpoint, and tensors under other names than
// the hub's.
#pragma once

#include <filesystem>
#include <string>

#include "checkpoint/checkpoint.h"
#include "config/model_config.h"

namespace q3vl {

/// Reads the config of the checkpoint in `folder`. Throws Error(bad_input) and Error(unsupported); where something else
/// than a checkpoint lies (an adapter, a GGUF file, a hub cache), the message says what it is and how to go on.
ModelConfig read_checkpoint_config(const std::filesystem::path& folder);

/// Opens the checkpoint in `folder`, whose config is `config`, under the hub's names. Throws Error(bad_input).
Checkpoint open_checkpoint(const std::filesystem::path& folder, const ModelConfig& config);

/// Gives tensors the names that the hub's checkpoints have, as Hugging Face does when it loads them:
/// * "visual.…" and "language_model.…", or "layers.…" of a plain language model, are what `save_pretrained` of a model
///   without a head writes: they get "model." in front;
/// * in a tied model that stores only lm_head.weight, that is the embedding.
/// Throws Error(bad_input) when a tensor is there under both names.
void use_hub_names(Checkpoint& checkpoint, const ModelConfig& config);

/// Whose names the tensors have, and what to do, where something has put a prefix before the hub's names:
///   the names look like torch.compile's ("_orig_mod.model.visual…"); save the model inside: …
/// Empty where nothing known is recognised.
std::string explain_names(const Checkpoint& checkpoint);

}  // namespace q3vl
