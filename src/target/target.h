// What a package is made for: one documented row a target.
#pragma once

#include <string_view>

#include "base/data_type.h"

namespace q3vl {

struct TargetProfile {
  std::string_view name;
  std::string_view description;
  /// The type of activations, graph inputs and outputs, and the cache.
  DataType compute_type;
  /// ONNX Runtime's execution provider, as genai_config.json's provider_options name it; empty: the CPU's, which is
  /// always there.
  std::string_view provider = "";
  /// Whether Cast takes bfloat16, so that weights may lie in that type.
  bool casts_bfloat16 = true;
  /// Whether there is com.microsoft.GatherBlockQuantized.
  bool has_gather_block_quantized = true;
};

/// The row called `name`. Throws Error(usage), listing the known ones.
const TargetProfile& target_profile(std::string_view name);

/// `target` without what a browser's ONNX Runtime lacks: onnxruntime-web 1.31, in the build that Transformers.js takes
/// of itself, on its CPU provider (docs/decisions/0014-what-a-browser-runs.md).
TargetProfile in_browser(TargetProfile target);

}  // namespace q3vl
