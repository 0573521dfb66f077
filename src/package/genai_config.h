// genai_config.json: what onnxruntime-genai reads first.
#pragma once

#include <cstdint>

#include "base/json.h"
#include "config/generation_config.h"
#include "config/model_config.h"
#include "graph/graph.h"

namespace q3vl {

inline constexpr const char* kVisionModelFile = "vision.onnx";
inline constexpr const char* kEmbeddingModelFile = "embedding.onnx";
inline constexpr const char* kTextModelFile = "model.onnx";
inline constexpr const char* kGenaiConfigFile = "genai_config.json";
inline constexpr const char* kVisionProcessorFile = "vision_processor.json";
inline constexpr const char* kManifestFile = "manifest.json";

/// The graphs of a package; vision and embedding are null in the text-only one.
struct PackageGraphs {
  const Graph* vision;
  const Graph* embedding;
  const Graph* text;
};

/// The document; names, widths and head counts are read off the graphs, so that the two cannot differ.
OrderedJson genai_config(const PackageGraphs& graphs, const ModelConfig& model, const GenerationConfig& generation,
                         std::int64_t max_length);

}  // namespace q3vl
