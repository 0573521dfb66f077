// genai_config.json: what onnxruntime-genai reads first.
#pragma once

#include <cstdint>

#include "base/json.h"
#include "config/generation_config.h"
#include "config/model_config.h"
#include "graph/graph.h"
#include "package/package_layout.h"

namespace q3vl {

inline constexpr const char* kGenaiConfigFile = "genai_config.json";
inline constexpr const char* kVisionProcessorFile = "vision_processor.json";
inline constexpr const char* kManifestFile = "manifest.json";

/// The graphs that the client loads; vision and embedding are null in the text-only one.
struct PackageGraphs {
  const Graph* vision;
  const Graph* embedding;
  const Graph* text;
};

/// The document; names, widths and head counts are read off the graphs, so that the two cannot differ.
OrderedJson genai_config(const PackageGraphs& graphs, PackageLayout layout, const ModelConfig& model,
                         const GenerationConfig& generation, std::int64_t max_length);

}  // namespace q3vl
