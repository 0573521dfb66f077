// One quantised row: its codes, scales and zero points, and the bytes that they are in a package.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/block_format.h"

namespace q3vl {

/// Rounds scales to float16, as they are stored, so that codes are chosen for what remains. Throws Error(bad_input) for
/// one that float16 cannot hold, with a sentence to be put behind the weight's name.
void round_scales_to_float16(std::span<float> scales);

class QuantizedRow {
 public:
  QuantizedRow(const BlockFormat& format, std::size_t columns);

  const BlockFormat& format() const { return format_; }
  std::uint8_t* codes() { return codes_.data(); }  ///< of whole blocks
  BlockScales blocks() { return {scales_, std::span(zero_points_).first(scales_.size())}; }

  void round_scales() { round_scales_to_float16(scales_); }

  /// Writes row `index` of encoded parts (encoded_parts()).
  void store(std::span<const std::span<std::byte>> parts, std::size_t index) const;

  /// Reads it.
  void load(std::span<const std::span<const std::byte>> parts, std::size_t index);

 private:
  BlockFormat format_;
  std::size_t code_bytes_;
  std::size_t zero_bytes_;
  std::vector<std::uint8_t> codes_;
  std::vector<float> scales_;
  std::vector<std::uint8_t> zero_points_;  // whole bytes of them, so that they pack as codes do
};

}  // namespace q3vl
