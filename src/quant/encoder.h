// Rows of a weight → the bytes of its encoded parts, and back.
#pragma once

#include <cstddef>
#include <cstdint>
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

/// What is known of the values that a weight's columns are multiplied by. Empty: nothing.
struct InputStatistics {
  std::vector<float> importance;        ///< [columns]: how much a squared error in each column counts
  std::vector<std::uint16_t> feedback;  ///< for gptq: float16 R[i][j] of columns i < j, row by row: an error e of
                                        ///< column i is made good when e · R[i][j] is taken from column j
  std::vector<float> balance;           ///< for w8a8 and row_norms: what columns are multiplied by, over and over if
                                        ///< they are more
};

/// Encodes whole rows and returns how many of their values are NaN or infinite. Floating-point types keep those; where
/// codes and sums have none, they count as 0. `parts` has one buffer for each entry of encoded_parts(), of rows ·
/// row_bytes; with Format::stored it is empty, as the rows are their own encoding, and only looked through. A row's
/// bytes do not depend on the rows beside it. Memory is that of one row, with gptq that of all rows in float32 twice.
/// Throws Error(bad_input) with a sentence to be put behind the weight's name when float16 cannot hold a value or a
/// scale, or gptq lacks its feedback.
std::int64_t encode_rows(const Encoding& encoding, const StoredRows& rows, const InputStatistics& inputs,
                         std::span<const std::span<std::byte>> parts);

/// What ONNX Runtime makes of quantised rows: (code − zero_point) · scale in float32, padding left out.
/// `parts` are the bytes of encoded_parts() of the rows; `into` takes rows · columns values.
void dequantize_rows(const Encoding& encoding, std::span<const std::span<const std::byte>> parts, std::int64_t columns,
                     std::span<float> into);

}  // namespace q3vl
