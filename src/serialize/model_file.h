// Reading an .onnx file into its message, without the weights that lie beside it.
#pragma once

#include <onnx/onnx_pb.h>

#include <filesystem>

namespace q3vl {

/// Throws Error(bad_input) when the file cannot be read or is no ONNX model.
onnx::ModelProto read_model_file(const std::filesystem::path& path);

}  // namespace q3vl
