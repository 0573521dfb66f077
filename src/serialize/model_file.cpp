#include "serialize/model_file.h"

#include <fmt/format.h>

#include <string>

#include "base/file.h"
#include "qwen3vl_export/error.h"

namespace q3vl {

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
