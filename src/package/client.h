// A runtime that loads packages: the files that it reads beside the graphs, and what it demands of a finished package.
// Each has a folder here; a new one is a row of its own, which the layouts that serve it name.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "config/generation_config.h"
#include "config/image_config.h"
#include "config/model_config.h"
#include "graph/graph.h"
#include "package/components.h"
#include "target/target.h"

namespace q3vl {

struct PackageLayout;

/// The graphs that a client loads; vision and embedding are null in a text-only package.
struct PackageGraphs {
  const Graph* vision;
  const Graph* embedding;
  const Graph* text;
};

/// The session names of the graphs that a browser fetches data files for, and how many.
using BrowserDataFiles = std::map<std::string, std::int64_t>;

/// What a client's files are made of.
struct ClientInputs {
  std::filesystem::path checkpoint;
  const PackageLayout* layout;
  const TargetProfile* target;
  const ModelConfig* config;
  const GenerationConfig* generation;
  const ImageConfig* image;   ///< null in a text-only package
  std::string chat_template;  ///< the one that counts, as every file of the package has it
  PackageGraphs graphs;
  BrowserDataFiles data_files;  ///< empty where graphs share weights, which browsers cannot follow
  std::int64_t max_length;
  std::int64_t max_pixels;
};

/// A file of a package, whole.
struct ClientFile {
  std::string name;
  std::string contents;  ///< what is in it, in a few words
  std::string text;
};

struct Client {
  std::string_view name;  ///< "onnxruntime-genai"

  /// Why it cannot run a package of these components, or with an int8 cache; empty if it can.
  std::string (*reason_against)(const Components& components, bool int8_cache);

  /// Its own files. Throws Error(bad_input) for files of the checkpoint that cannot be read.
  std::vector<ClientFile> (*files)(const ClientInputs& inputs);

  /// What it would refuse of a finished package or stumble over, a sentence each that opens with the file; empty for a
  /// sound package. Weights are not read.
  std::vector<std::string> (*findings)(const std::filesystem::path& package);
};

extern const Client kGenai;           // genai/client.cpp
extern const Client kTransformersJs;  // transformers_js/client.cpp

}  // namespace q3vl
