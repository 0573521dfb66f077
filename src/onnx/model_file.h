// Reading an .onnx file into its message, without the weights that lie beside it.
#pragma once

#include <onnx/onnx_pb.h>

#include <filesystem>
#include <string>

namespace q3vl {

/// The message whose bytes are `bytes`; `origin` opens the message of an error. Throws Error(bad_input) when they are
/// no ONNX model.
onnx::ModelProto parse_model(const std::string& bytes, const std::string& origin);

/// An input or an output that a node of a model that is `origin` must have. Throws Error(bad_input) when it has fewer.
const std::string& input_of(const onnx::NodeProto& node, int index, const std::string& origin);
const std::string& output_of(const onnx::NodeProto& node, int index, const std::string& origin);

/// Throws Error(bad_input) when the file cannot be read or is no ONNX model.
onnx::ModelProto read_model_file(const std::filesystem::path& path);

}  // namespace q3vl
