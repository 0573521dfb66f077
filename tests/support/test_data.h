// The test data of the repository: tensors recorded from Hugging Face, and comparisons with them.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "prompt/mrope_positions.h"

namespace q3vl::test {

/// tests/data, or a path below it.
std::filesystem::path data_path(const std::string& below = "");

/// One safetensors file of recorded tensors.
class Recorded {
 public:
  explicit Recorded(const std::filesystem::path& path);

  bool has(const std::string& name) const { return file_.find(name) != nullptr; }
  std::vector<std::string> names() const;

  /// The tensor called `name` in its recorded type. Throws when it is missing.
  at::Tensor operator[](const std::string& name) const;

  /// An int64 tensor's values, or none when the file lacks it.
  std::vector<std::int64_t> integers(const std::string& name) const;

  /// The rows of a [n, 3] tensor of (t, h, w), or none when the file lacks it.
  std::vector<Grid> grids(const std::string& name) const;

 private:
  Checkpoint file_;
};

/// A recording of tests/data/tiny-a/expected: recorded("v1").
Recorded recorded(const std::string& name);

/// The largest absolute difference; infinity when the shapes differ or a value is not finite.
double max_difference(const at::Tensor& found, const at::Tensor& expected);

}  // namespace q3vl::test
