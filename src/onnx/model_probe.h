// A copy of a written model for measuring: the same graph, with exact activations, with more to see.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/data_type.h"

namespace q3vl {

/// An output of a node, to be made an output of the graph.
struct Tap {
  std::string node;
  int output;
};

/// What a graph multiplies quantised weights by, and keeps keys and values as.
enum class Activations {
  as_shipped,  ///< int8 where a MatMulNBits of accuracy level 4, a QGemm or an INT8 cache makes them so
  floats,  ///< MatMulNBits of accuracy level 0; for every QGemm a Gemm with the weights it stands for; a float cache
};

struct ProbeOptions {
  Activations activations = Activations::as_shipped;
  /// Where the graph picks the last position before its last layer norm and matrix: the prefix of the names of the
  /// GatherND nodes that do it. They take the positions from a new graph input, kProbePositions, instead.
  std::string pick_prefix;
  std::vector<Tap> taps;
  DataType tap_type = DataType::float32;
};

/// int64 [batch_size, num_positions, 1].
inline constexpr const char* kProbePositions = "probe_positions";

struct Probe {
  std::string model;              ///< its bytes; external data are still named relative to the model's folder
  bool picks_positions;           ///< whether nodes that pick positions were found
  std::vector<std::string> taps;  ///< the graph outputs, in the order of the options
};

/// Throws Error(bad_input) when the file is no ONNX model, lacks a node or an output that is to be tapped, or has a
/// QGemm whose activations are quantised in another way than this program's.
Probe probe_model(const std::filesystem::path& model, const ProbeOptions& options);

}  // namespace q3vl
