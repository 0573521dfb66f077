// The rules of onnxruntime-extensions for the image transforms that onnxruntime-genai runs.
#pragma once

#include <cstdint>
#include <string>

#include "base/json.h"
#include "package/findings.h"

namespace q3vl {

/// The sizes that the transforms, the vision graph and genai_config.json must agree on.
struct PatchSizes {
  std::int64_t patch_size;
  std::int64_t temporal_patch_size;
  std::int64_t merge_size;
};

/// Holds the document against the transforms of qwen3_vl: their order, their attributes (unknown ones are refused when
/// the package is loaded, integers where floats are read crash it), the two channel swaps that cancel out, and equal
/// sizes wherever one is given twice. `file` opens each finding. Returns the sizes; only when nothing was found do they
/// mean anything.
PatchSizes check_vision_processor(const Json& document, const std::string& file, Findings& findings);

}  // namespace q3vl
