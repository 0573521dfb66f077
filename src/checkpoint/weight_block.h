// Rows of weights, read block by block: no tensor is held whole, and nothing is mapped, so that a failing disk or a
// file that shrinks is an ordinary error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "checkpoint/checkpoint.h"

namespace q3vl {

/// One block of rows. One a thread; reused from block to block.
class WeightBlock {
 public:
  virtual ~WeightBlock() = default;

  /// Reads rows [begin, end) of a tensor seen as a matrix of `row_elements` columns (its stored order, so any trailing
  /// dimensions may be counted into the row). Throws Error(bad_input).
  virtual void read(const Checkpoint& checkpoint, const TensorInfo& tensor, std::int64_t row_elements,
                    std::int64_t begin, std::int64_t end) = 0;

  /// The rows' bytes as the checkpoint stores them, until the next read.
  virtual std::span<const std::byte> stored() const = 0;
};

using MakeWeightBlock = std::function<std::unique_ptr<WeightBlock>()>;

}  // namespace q3vl
