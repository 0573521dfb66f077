// The matrices of a text decoder without the rest of it: what they take alone is what a step cannot be faster than.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/data_type.h"

namespace q3vl {

struct LoneMatrices {
  /// What matrices of one width multiply: [rows, width] in the rank that they take, rows being free.
  struct Input {
    std::string name;
    DataType type;
    std::vector<std::int64_t> leading;  ///< dimensions of size 1 before the rows
    std::int64_t width;
  };
  std::string model;  ///< its bytes; external data are still named relative to the model's folder
  std::vector<Input> inputs;
};

/// The MatMulNBits, QGemm and FusedMatMul nodes of `model` with their own weights, beside each other: none waits for
/// another, and of their results only the shapes are outputs. Throws Error(bad_input) when the file is no ONNX model or
/// has none of them.
LoneMatrices lone_matrices(const std::filesystem::path& model);

}  // namespace q3vl
