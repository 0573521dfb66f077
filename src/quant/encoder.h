// Rows of a weight → the bytes of its encoded parts, and back.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "quant/encoding.h"

namespace q3vl {

/// Encodes rows of `columns` float32 values. `parts` has one buffer for each entry of encoded_parts(), of rows ·
/// row_bytes; `Format::stored` needs no encoder. Throws Error(bad_input) with a sentence to be put behind the weight's
/// name when float16 cannot hold a value.
void encode_rows(const Encoding& encoding, std::span<const float> values, std::int64_t columns,
                 std::span<const std::span<std::byte>> parts);

/// What ONNX Runtime makes of block-quantised rows: (code − 2^(bits−1)) · scale in float32, padding left out.
/// `data` and `scales` are the two parts of `rows` rows; the result has rows · columns values.
std::vector<float> dequantize_rows(const Encoding& encoding, std::span<const std::byte> data,
                                   std::span<const float> scales, std::int64_t rows, std::int64_t columns);

}  // namespace q3vl
