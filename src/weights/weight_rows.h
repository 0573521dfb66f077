// The rows of a checkpoint's weights. Everything that needs a weight's values reads them here, so that a new way to
// store weights (transposed, stacked, quantised) is one more case of this class.
//
//   const WeightRows rows(checkpoint, "model.language_model.norm.weight");
//   std::vector<float> gains(rows.columns());
//   rows.read_float32(0, 1, gains);
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>

#include "base/host_tensor.h"
#include "checkpoint/checkpoint.h"

namespace q3vl {

class WeightRows {
 public:
  /// The tensor called `name`. `checkpoint` must outlive the object. Throws Error(bad_input) if there is none.
  WeightRows(const Checkpoint& checkpoint, const std::string& name);

  const std::string& name() const { return tensor_->name; }
  DataType type() const { return tensor_->type; }
  const Shape& shape() const { return tensor_->shape; }

  std::int64_t rows() const { return rows_; }        ///< the first dimension; 1 for a vector or a scalar
  std::int64_t columns() const { return columns_; }  ///< the product of the others; a vector's length
  std::uint64_t row_bytes() const { return static_cast<std::uint64_t>(columns_) * size_of(type()); }
  std::uint64_t bytes() const { return tensor_->bytes; }

  /// The file that they lie in, for messages.
  const std::filesystem::path& file() const { return file_->path(); }

  /// Reads rows [begin, end) as they are stored; `into` takes (end − begin) · row_bytes(). Throws Error(bad_input).
  void read(std::int64_t begin, std::int64_t end, std::span<std::byte> into) const;

  /// Reads rows as read() does. Nobody should want them again soon: they do not fill the page cache.
  void read_once(std::int64_t begin, std::int64_t end, std::span<std::byte> into) const;

  /// Reads rows [begin, end), widened exactly; `into` takes (end − begin) · columns() values. Throws Error(bad_input).
  void read_float32(std::int64_t begin, std::int64_t end, std::span<float> into) const;

  /// All rows, widened exactly, in the stored shape, read on `threads` threads. Throws Error(bad_input).
  HostTensor to_float32(int threads) const;

 private:
  const TensorInfo* tensor_;
  const File* file_;
  std::int64_t rows_;
  std::int64_t columns_;
};

/// Whether both weights have one shape and, widened to float32, the same values bit for bit. Throws Error(bad_input),
/// and Error(interrupted).
bool equal_weights(const WeightRows& a, const WeightRows& b);

/// Gives whole weights by name, as to_float32() does. `checkpoint` must outlive it.
std::function<HostTensor(const std::string& name)> checkpoint_weights(const Checkpoint& checkpoint, int threads);

}  // namespace q3vl
