#include <torch/csrc/api/include/torch/version.h>

#include "onnx/onnx_model.h"
#include "package/manifest.h"
#include "qwen3vl_export/export.h"

namespace q3vl {

std::vector<std::pair<std::string, std::string>> versions() {
  std::vector<std::pair<std::string, std::string>> list = {{kProgramName, Q3VL_VERSION}, {"libtorch", TORCH_VERSION}};
  for (auto& version : onnx_versions()) list.push_back(std::move(version));
  return list;
}

}  // namespace q3vl
