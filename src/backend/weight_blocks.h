// Blocks of weights that are LibTorch tensors: LibTorch is behind the library qwen3vl-export-c10.so, which is opened
// when a command first reads weights (base/companion_file.h says where it lies).
#pragma once

#include "weights/weight_block.h"

namespace q3vl {

/// What makes them. Throws Error(internal) when the library is missing or cannot be opened.
MakeWeightBlock weight_blocks();

/// The name of the library's function that returns a new WeightBlock.
inline constexpr const char* kWeightBlockEntry = "q3vl_weight_block";

}  // namespace q3vl
