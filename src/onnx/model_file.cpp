#include "onnx/model_file.h"

#include <fmt/format.h>

#include <string>

#include "base/file.h"
#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

const std::string& operand(const onnx::NodeProto& node, const google::protobuf::RepeatedPtrField<std::string>& operands,
                           const char* kind, int index, const std::string& origin) {
  if (index < operands.size()) return operands[index];
  throw Error(ErrorKind::bad_input, fmt::format("{}: node {} ({}) has {} {}, expected {} or more; the model is damaged",
                                                origin, node.name(), node.op_type(), operands.size(), kind, index + 1));
}

}  // namespace

const std::string& input_of(const onnx::NodeProto& node, int index, const std::string& origin) {
  return operand(node, node.input(), "inputs", index, origin);
}

const std::string& output_of(const onnx::NodeProto& node, int index, const std::string& origin) {
  return operand(node, node.output(), "outputs", index, origin);
}

onnx::ModelProto parse_model(const std::string& bytes, const std::string& origin) {
  onnx::ModelProto model;
  if (!model.ParseFromString(bytes) || !model.has_graph() || model.opset_import_size() == 0)
    throw Error(ErrorKind::bad_input, fmt::format("{}: is not an ONNX model, or a damaged one", origin));
  return model;
}

onnx::ModelProto read_model_file(const std::filesystem::path& path) {
  constexpr std::uint64_t kProtobufLimit = (std::uint64_t{1} << 31) - 1;
  return parse_model(read_text_file(path, kProtobufLimit), path.string());
}

}  // namespace q3vl
