#include "serialize/model_file.h"

#include <fmt/format.h>

#include <string>

#include "base/file.h"
#include "qwen3vl_export/error.h"

namespace q3vl {

onnx::ModelProto read_model_file(const std::filesystem::path& path) {
  constexpr std::uint64_t kProtobufLimit = (std::uint64_t{1} << 31) - 1;
  const std::string bytes = read_text_file(path, kProtobufLimit);
  onnx::ModelProto model;
  if (!model.ParseFromString(bytes) || !model.has_graph() || model.opset_import_size() == 0)
    throw Error(ErrorKind::bad_input, fmt::format("{}: is not an ONNX model, or a damaged one", path.string()));
  return model;
}

}  // namespace q3vl
