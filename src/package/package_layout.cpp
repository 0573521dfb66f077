#include "package/package_layout.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <vector>

#include "package/transformers_js/names.h"
#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

/// Of a file that a browser loads into one buffer.
constexpr std::uint64_t kMostBrowserBytes = 2'000'000'000;

constexpr const char* kGenaiEmbeddingFile = "onnx/embedding.onnx";

using enum GraphKind;

constexpr std::array kUniversalGraphs = {
    LayoutGraph{vision, transformers_js::kVisionEncoderFile},
    LayoutGraph{token_embedding, transformers_js::kEmbedTokensFile, {vision}},
    LayoutGraph{embedding, kGenaiEmbeddingFile, {vision, token_embedding}},
    LayoutGraph{text, transformers_js::kDecoderFile, {vision, token_embedding, embedding}},
};
constexpr std::array kGenaiGraphs = {
    LayoutGraph{vision, "vision.onnx"},
    LayoutGraph{embedding, "embedding.onnx", {vision}},
    LayoutGraph{text, "model.onnx", {vision, embedding}},
};
// Only Transformers.js runs in a browser, and it does not read the embedding of onnxruntime-genai.
constexpr std::array kBrowserGraphs = {
    LayoutGraph{vision, transformers_js::kVisionEncoderFile},
    LayoutGraph{token_embedding, transformers_js::kEmbedTokensFile},
    LayoutGraph{embedding, kGenaiEmbeddingFile, {token_embedding}},
    LayoutGraph{text, transformers_js::kDecoderFile},
};

constexpr std::array kForGenai = {&kGenai};
constexpr std::array kForBoth = {&kGenai, &kTransformersJs};

constexpr std::array kLayouts = {
    // For onnxruntime-genai and for Transformers.js in Node. Graphs share weights.
    PackageLayout{.name = "universal", .graphs = kUniversalGraphs, .data_suffix = "_data", .clients = kForBoth},
    // For onnxruntime-genai alone: every graph beside its config.
    PackageLayout{.name = "genai", .graphs = kGenaiGraphs, .data_suffix = ".data", .clients = kForGenai},
    // For browsers, and for onnxruntime-genai. Each graph that a browser loads has weights of its own, in files small
    // enough for it.
    PackageLayout{.name = "transformers-js",
                  .graphs = kBrowserGraphs,
                  .data_suffix = "_data",
                  .most_data_bytes = kMostBrowserBytes,
                  .in_browser = true,
                  .clients = kForBoth},
};

}  // namespace

std::span<const PackageLayout> package_layouts() {
  return kLayouts;
}

const PackageLayout& package_layout(std::string_view name) {
  const auto found = std::ranges::find(kLayouts, name, &PackageLayout::name);
  if (found != kLayouts.end()) return *found;
  std::vector<std::string_view> names;
  for (const PackageLayout& layout : kLayouts) names.push_back(layout.name);
  const std::string_view last = names.back();
  names.pop_back();
  throw Error(ErrorKind::usage,
              fmt::format("--layout is \"{}\", expected {} or {}", name, fmt::join(names, ", "), last));
}

std::string_view graph_name(GraphKind kind) {
  switch (kind) {
    case GraphKind::vision:
      return "vision";
    case GraphKind::token_embedding:
      return "embed_tokens";
    case GraphKind::embedding:
      return "embedding";
    case GraphKind::text:
      return "text";
  }
  throw Error(ErrorKind::internal, "a graph of the package has no name");
}

bool belongs_to(GraphKind kind, const Components& components) {
  switch (kind) {
    case GraphKind::vision:
      return components.vision;
    case GraphKind::token_embedding:
    case GraphKind::embedding:
      return components.embedding;
    case GraphKind::text:
      return components.text;
  }
  throw Error(ErrorKind::internal, "a graph of the package belongs to no component");
}

const LayoutGraph& PackageLayout::graph(GraphKind kind) const {
  const auto found = std::ranges::find(graphs, kind, &LayoutGraph::kind);
  if (found == graphs.end())
    throw Error(ErrorKind::internal, fmt::format("the layout {} has no graph {}", name, graph_name(kind)));
  return *found;
}

DataFiles PackageLayout::data_files(GraphKind kind) const {
  DataFiles files{.name = fmt::format("{}{}", graph(kind).file, data_suffix), .most_bytes = most_data_bytes};
  for (const LayoutGraph& other : graphs)
    if (graph(kind).takes_weights_of.has(other.kind)) files.takes.emplace_back(graph_name(other.kind));
  return files;
}

bool PackageLayout::serves(const Client& client) const {
  return std::ranges::find(clients, &client) != clients.end();
}

}  // namespace q3vl
