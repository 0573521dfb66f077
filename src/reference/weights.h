// Where the reference takes its weights from, and how tests look into it.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>

#include "checkpoint/checkpoint.h"

namespace q3vl::reference {

/// Gives the weight of a Hugging Face name ("model.visual.pos_embed.weight") as a float32 tensor. Called when a layer
/// is about to use it, so a provider that loads on demand keeps one layer in memory at a time.
using WeightProvider = std::function<at::Tensor(const std::string& name)>;

/// Called with every intermediate value worth comparing; the functions below list the names they use. May be empty.
using Observer = std::function<void(const std::string& name, const at::Tensor& value)>;

/// The weights of `checkpoint`, widened exactly to float32; it must outlive the provider. Each call reads the file
/// again. A name that the checkpoint lacks: Error(bad_input).
WeightProvider checkpoint_weights(const Checkpoint& checkpoint);

}  // namespace q3vl::reference
