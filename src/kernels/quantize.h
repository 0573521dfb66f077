// Rows of weights ↔ codes in blocks: the loops of quantisers, with the best instructions of the machine and the same
// bits on every one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace q3vl {

/// Rows are cut into blocks of 16, 32, 64, 128 or 256 values: what ONNX Runtime's MatMulNBits takes.
inline constexpr std::size_t kMinBlockSize = 16;
inline constexpr std::size_t kMaxBlockSize = 256;

/// Round to nearest, symmetric, by the rule of ONNX Runtime's own block quantiser: the value of the largest magnitude,
/// with its sign (the negative one of two), becomes the most negative code, since the code range reaches one further
/// below zero than above: scale = value / −2^(bits−1), code = round(value / scale) + 2^(bits−1), halves up, clamped to
/// [0, 2^bits). A block whose scale would be no normal float32 is all zeros, with the scale +0.
/// https://github.com/microsoft/onnxruntime/blob/main/onnxruntime/core/mlas/lib/q4_dq.cpp
///
/// `row` is finite; its last block may be short. `codes` takes ceil(row / block_size) · block_size codes, those behind
/// the end of the row 2^(bits−1), and `scales` one value a block. `bits` is at most 8.
void quantize_symmetric(std::span<const float> row, std::size_t block_size, int bits, std::uint8_t* codes,
                        float* scales);

/// (code − 2^(bits−1)) · scale, rounded once, for the first row.size() codes.
void dequantize_symmetric(const std::uint8_t* codes, const float* scales, std::size_t block_size, int bits,
                          std::span<float> row);

}  // namespace q3vl
