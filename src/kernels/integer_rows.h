// Rows of weights as int8 with a scale a row, for products of integers; with the best instructions of the machine and
// the same bits on every one.
#pragma once

#include <cstdint>
#include <span>

namespace q3vl {

/// The scale of a finite row: the least at which no code is beyond ±127 and no two neighbours 2i and 2i + 1 have codes
/// of one sign that sum to more than 128 in magnitude. On processors with AVX2 and without VNNI, ONNX Runtime adds the
/// products of two neighbours with two activations of 0 … 255 in 16 bits, where larger ones would be cut off:
/// 255 · 128 = 32640. 0 for a row whose scale would be no normal float32.
float integer_scale(std::span<const float> row);

/// value · (1 / scale), rounded to nearest even, for every value of a row; zeros where the scale is 0. `codes` takes
/// row.size() values.
void round_to_integers(std::span<const float> row, float scale, std::int8_t* codes);

}  // namespace q3vl
