// Rows of a weight → the bytes of its encoded parts, and back.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "quant/encoding.h"

namespace q3vl {

/// Rows of a weight as the checkpoint stores them, in a weight type.
struct StoredRows {
  DataType type;
  std::int64_t columns;
  std::span<const std::byte> bytes;
};

/// Encodes whole rows and returns how many of their values are NaN or infinite; rows that hold such a value are left
/// out. `parts` has one buffer for each entry of encoded_parts(), of rows · row_bytes; with Format::stored it is empty,
/// as the rows are their own encoding, and only looked through. Memory is that of one row. Throws Error(bad_input) with
/// a sentence to be put behind the weight's name when float16 cannot hold a value.
std::int64_t encode_rows(const Encoding& encoding, const StoredRows& rows, std::span<const std::span<std::byte>> parts);

/// What ONNX Runtime makes of block-quantised rows: (code − 2^(bits−1)) · scale in float32, padding left out.
/// `data` and `scales` are the two parts of the rows; `into` takes rows · columns values.
void dequantize_rows(const Encoding& encoding, std::span<const std::byte> data, std::span<const float> scales,
                     std::int64_t columns, std::span<float> into);

}  // namespace q3vl
