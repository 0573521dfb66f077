// Whole tensors of a checkpoint as LibTorch tensors: for the reference and for tests, never for an export.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

#include "checkpoint/checkpoint.h"

namespace q3vl {

/// Reads the tensor called `name` in its stored type and shape. Throws Error(bad_input) when it is missing.
at::Tensor read_tensor(const Checkpoint& checkpoint, const std::string& name);

}  // namespace q3vl
