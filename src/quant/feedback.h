// GPTQ over rows: columns are rounded one after the other, and each error is made good by the columns behind it.
// Frantar et al., GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers, 2022.
#pragma once

#include "quant/encoder.h"

namespace q3vl {

/// encode_rows() for a quantiser with feedback. A block's scales are chosen when it is reached, from what the columns
/// before it have left.
std::int64_t encode_with_feedback(const Encoding& encoding, const StoredRows& rows, const InputStatistics& inputs,
                                  std::span<const std::span<std::byte>> parts);

}  // namespace q3vl
