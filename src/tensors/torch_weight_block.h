// Blocks of weights as LibTorch tensors over pooled buffers.
#pragma once

#include <memory>

#include "weights/weight_block.h"

namespace q3vl {

/// A block whose rows are a LibTorch tensor over a buffer that is kept from read to read.
std::unique_ptr<WeightBlock> make_torch_weight_block();

}  // namespace q3vl
