// How rows of weights are cut into blocks and what a block's codes can be.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace q3vl {

/// Rows are cut into blocks of 16, 32, 64, 128 or 256 values: what ONNX Runtime's MatMulNBits takes.
inline constexpr std::size_t kMinBlockSize = 16;
inline constexpr std::size_t kMaxBlockSize = 256;

struct BlockFormat {
  std::size_t size;
  int bits;        ///< 2, 4 or 8
  bool symmetric;  ///< the zero point of every block is the middle code

  int last_code() const { return (1 << bits) - 1; }
  int middle_code() const { return 1 << (bits - 1); }
  std::size_t blocks(std::size_t columns) const { return (columns + size - 1) / size; }
};

/// What the codes of a row's blocks stand for, one entry a block: (code − zero_point) · scale.
struct BlockScales {
  std::span<float> scales;
  std::span<std::uint8_t> zero_points;
};

}  // namespace q3vl
