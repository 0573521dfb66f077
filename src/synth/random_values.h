// Random weights by counter: value i of a stream depends on the seed, the stream's name and i alone, so any thread may
// make any part.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "synth/synth_model.h"

namespace q3vl {

/// Fills `into` with the values of `tensor` from element `first` on, in the tensor's type (float32, float16 or
/// bfloat16; else Error(usage)). `into` holds whole elements.
void random_values(const SynthTensor& tensor, std::uint64_t seed, std::uint64_t first, std::span<std::byte> into);

}  // namespace q3vl
