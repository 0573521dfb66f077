// What a package computes against what the reference computes: from the package's own weights, and from the
// checkpoint's.
#pragma once

#include <filesystem>
#include <optional>
#include <span>

#include "checkpoint/checkpoint.h"
#include "config/model_config.h"
#include "data/data_layout.h"
#include "package/package_layout.h"
#include "quant/encoding.h"
#include "qwen3vl_export/verify.h"
#include "runtime/session.h"
#include "verify/cases.h"

namespace q3vl {

struct NumbersRequest {
  const ModelConfig& config;
  const Checkpoint& checkpoint;
  const DataLayout& layout;
  Encoding head_encoding;       ///< of lm_head, where a tied matrix lies in the package in two forms
  Encoding embedding_encoding;  ///< of the table that tokens are looked up in
  const std::filesystem::path& package;
  const PackageLayout* package_layout;
  const OnnxRuntime& runtime;
  bool has_vision;
  bool has_embedding;
  bool has_text;
  std::span<const VerifyCase> cases;  ///< texts of the user's behind all others
  double tolerance;
  std::optional<double> max_kld;
  int threads;
  const ExportObserver& observer;
};

/// Fills what is not null. `numerics`: each graph is fed what the reference feeds it, with the package's weights, and
/// keeps activations as floats; the user's texts are left out. `quality`: the graphs as they are shipped feed each
/// other, against the reference with the checkpoint's weights; where a graph is not in the package the reference stands
/// in. A graph that ONNX Runtime cannot load or run is a finding, and so is a data file that cannot be read.
void check_numbers(const NumbersRequest& request, NumericsCheck* numerics, QualityCheck* quality);

}  // namespace q3vl
