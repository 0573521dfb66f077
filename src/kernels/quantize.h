// Rows of weights ↔ codes in blocks, once the blocks' scales are chosen; with the best instructions of the machine and
// the same bits on every one.
#pragma once

#include "kernels/block_format.h"

namespace q3vl {

/// The least and the largest value of every block of a finite row; `least` and `most` take one value a block. Of zeros
/// the sign is left open.
void block_ranges(std::span<const float> row, std::size_t block_size, float* least, float* most);

/// The code of every value of a finite row: value · (1 / scale) + zero_point, held between the least and the last code
/// and rounded to the nearest whole number as ⌊x + 0.5⌋, each step in float32. The values of a block whose scale is 0
/// get its zero point. `codes` takes whole blocks; behind the end of the row the block's zero point is filled in, which
/// stands for 0.
void assign_codes(std::span<const float> row, const BlockFormat& format, const BlockScales& blocks,
                  std::uint8_t* codes);

/// (code − zero_point) · scale, rounded once, for the first row.size() codes.
void dequantize(const std::uint8_t* codes, const BlockFormat& format, const BlockScales& blocks, std::span<float> row);

}  // namespace q3vl
