// The check of a written ONNX file: what onnx.checker.check_model(path, full_check=True) does, and that the declared
// outputs are what the graph computes.
#pragma once

#include <filesystem>

namespace q3vl {

/// Holds a model file against the ONNX rules: libonnx's checker (external data files must exist), strict type and shape
/// inference with data propagation, of subgraphs too, a schema for every node, and every graph output's declared type
/// and shape against what inference knows without the declaration. Weights are not read. Throws Error(internal)
/// "<model>: is not valid ONNX: <finding>".
void check_onnx_file(const std::filesystem::path& model);

}  // namespace q3vl
