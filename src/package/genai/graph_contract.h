// What onnxruntime-genai needs of the graphs of a package: names, types, ranks, and sizes that agree across files.
#pragma once

#include <optional>
#include <string>

#include "base/json.h"
#include "package/findings.h"
#include "package/genai/vision_processor_contract.h"
#include "package/graph_reader.h"

namespace q3vl {

/// The graphs of a package; vision and embedding are there for model.type qwen3_vl.
struct GraphFiles {
  GraphFile decoder;
  std::optional<GraphFile> embedding;
  std::optional<GraphFile> vision;
};

/// Holds the graphs against `model`, the model object of genai_config.json, whose keys have been checked, and against
/// each other. `sizes` are those of the image transforms, when they are sound.
void check_genai_graphs(const Json& model, const GraphFiles& graphs, const std::optional<PatchSizes>& sizes,
                        Findings& findings);

}  // namespace q3vl
