// What a written .onnx file says, without its weights: inputs, outputs, operators, and where each weight lies.
#pragma once

#include <compare>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/data_type.h"
#include "base/shape.h"
#include "graph/graph.h"

namespace q3vl {

/// A part of a file beside the model.
struct ExternalData {
  std::string location;  ///< relative to the model's folder
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

struct InitializerSummary {
  std::string name;
  DataType type;
  Shape shape;
  std::optional<ExternalData> external;  ///< nothing when the bytes stand in the model file itself
  bool looked_up = false;  ///< read by Gather and GatherBlockQuantized alone, straight or cast: a run takes some rows
};

/// The attributes of an operator that reads block-quantised weights.
struct BlockQuantization {
  std::string op;  ///< as in ModelSummary::operators
  std::int64_t bits;
  std::int64_t block_size;
  auto operator<=>(const BlockQuantization&) const = default;
};

struct ModelSummary {
  std::vector<ValueInfo> inputs;  ///< without initializers
  std::vector<ValueInfo> outputs;
  std::map<std::string, int> operators;        ///< "MatMul", "com.microsoft.MatMulNBits": how many, subgraphs' too
  std::map<BlockQuantization, int> quantized;  ///< nodes with the attributes bits and block_size: how many
  std::vector<InitializerSummary> initializers;
  std::map<std::string, std::int64_t> opset_imports;  ///< by domain
  std::int64_t ir_version = 0;
};

/// Reads the model file alone. A size that is not declared becomes the symbol "?". Throws Error(bad_input) when the
/// file cannot be read, is no ONNX model, or holds an element type or an external data entry that this program cannot
/// name.
ModelSummary read_model_summary(const std::filesystem::path& model);

}  // namespace q3vl
