// Rows of weights, read block by block: no tensor is held whole, and nothing is mapped, so that a failing disk or a
// file that shrinks is an ordinary error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "weights/weight_rows.h"

namespace q3vl {

/// One block of rows. One a thread; reused from block to block.
class WeightBlock {
 public:
  virtual ~WeightBlock() = default;

  /// Reads rows [begin, end). Throws Error(bad_input).
  virtual void read(const WeightRows& weight, std::int64_t begin, std::int64_t end) = 0;

  /// The rows' bytes as the checkpoint stores them, until the next read.
  virtual std::span<const std::byte> stored() const = 0;
};

using MakeWeightBlock = std::function<std::unique_ptr<WeightBlock>()>;

}  // namespace q3vl
