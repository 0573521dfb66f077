// Rows of weights, read block by block through LibTorch tensors over pooled buffers.
//
// No tensor is held whole and nothing is mapped: a failing disk or a file that shrinks is an ordinary error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "checkpoint/checkpoint.h"

namespace q3vl {

/// A buffer for one block of rows and its float32 form. One a thread; reused from block to block.
class WeightBlock {
 public:
  WeightBlock();
  ~WeightBlock();
  WeightBlock(WeightBlock&&) noexcept;
  WeightBlock& operator=(WeightBlock&&) noexcept;

  /// Reads rows [begin, end) of a tensor seen as a matrix of `row_elements` columns (its stored order, so any trailing
  /// dimensions may be counted into the row). Throws Error(bad_input).
  void read(const Checkpoint& checkpoint, const TensorInfo& tensor, std::int64_t row_elements, std::int64_t begin,
            std::int64_t end);

  /// The rows' bytes as the checkpoint stores them.
  std::span<const std::byte> stored() const;

  /// The rows' values, widened exactly to float32. Valid until the next read.
  std::span<const float> float32();

  /// The number of values that are NaN or infinite.
  std::int64_t nonfinite_count() const;

 private:
  struct Tensors;
  std::unique_ptr<Tensors> tensors_;
};

/// The version of LibTorch that this was built with.
std::string libtorch_version();

/// Keeps LibTorch's own threads out of the way of ours: call once, before the first block.
void use_single_threaded_tensors();

}  // namespace q3vl
