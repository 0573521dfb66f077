// Everything that is decided before a byte is written: graphs, encodings, every file's exact size. No weight is read.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/fingerprint.h"
#include "config/model_config.h"
#include "data/data_layout.h"
#include "graph/graph.h"
#include "package/assets.h"
#include "package/package_layout.h"
#include "quant/weight_requests.h"
#include "qwen3vl_export/export.h"
#include "recipe/recipe.h"

namespace q3vl {

/// The most pixels of a picture after its resize, unless the user says otherwise: 980 tokens of 32 × 32 pixels.
inline constexpr std::int64_t kDefaultMaxPixels = 1'003'520;

/// The file of a graph.
struct WrittenGraph {
  GraphKind kind;
  std::string file;  ///< its path in the package
  std::string contents;
  std::int64_t nodes;  ///< those of its subgraphs among them
};

/// A graph, and what its file will be called.
struct NamedGraph {
  GraphKind kind;
  std::string file;
  std::string contents;
  std::unique_ptr<Graph> graph;
};

/// A file whose bytes are known before the weights are read: a graph or a config.
struct SmallFile {
  ExportedFile file;
  std::string bytes;
};

/// A checkpoint whose config.json and tensors' headers fit together, and the graphs of some of its components.
struct CheckedModel {
  ModelConfig config;
  Components components;
  const PackageLayout* layout;
  std::unique_ptr<Checkpoint> checkpoint;  // the requests look into it
  WeightRequests requests;                 ///< the weights that the graphs need
  std::vector<NamedGraph> graphs;
};

struct PackagePlan {
  ModelConfig config;
  Recipe recipe;
  Components components;
  const PackageLayout* package_layout;
  std::unique_ptr<Checkpoint> checkpoint;  // the requests look into it
  WeightRequests requests;
  std::vector<WrittenGraph> graphs;
  DataLayout layout;
  std::vector<SmallFile> small_files;  ///< but for the manifest
  std::vector<Asset> assets;           ///< the checkpoint's own files, byte for byte
  std::int64_t max_length = 0;         ///< 0 where no genai_config.json is written, as is
  std::int64_t max_pixels = 0;
  bool allow_nonfinite = false;
  CheckpointFingerprint source;

  /// Every file of the package with its exact size, the manifest last.
  std::vector<ExportedFile> files() const;

  /// The text of manifest.json. `sha256` has the digests of the files by name; one that it lacks is unknown_sha256(),
  /// in a text of the same size.
  std::string manifest_text(const std::map<std::string, std::string>& sha256) const;
};

/// Chooses each weight's encoding from the recipe. On targets that cannot cast bfloat16, weights that the recipe would
/// store as they are become float32, exactly.
EncodingPolicy encoding_policy(const Recipe& recipe, const PackageLayout& layout, std::int64_t layer_count);

/// Asks `checkpoint` for every weight of the model that `config` describes, whatever is written of it.
WeightRequests request_whole_model(const ModelConfig& config, const Recipe& recipe, const Checkpoint& checkpoint);

/// Builds the graphs of `request.components` (default: everything the checkpoint has) in `request.layout` (default: the
/// first whose clients can run them) from config.json and the headers of the weights. Throws Error(usage) if a
/// requested component is missing from the checkpoint, or if the layout does not fit the components or the recipe;
/// Error(bad_input) for tensors that are missing, have another shape or, unless they are allowed, are not part of the
/// model.
CheckedModel check_model(const ExportRequest& request, const Recipe& recipe);

/// The recipe that the request names, with what it changes of it; without regard to a target size.
Recipe recipe_of(const ExportRequest& request);

/// Reads the configs and the headers of a checkpoint and decides what the package of `recipe` will be. Throws Error as
/// export_package does, but for what only tokenizer.json, the weights' values and
/// the output folder can tell.
PackagePlan plan_of(const ExportRequest& request, const Recipe& recipe, const ExportObserver& observer);

}  // namespace q3vl
