#include "package/package_layout.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

constexpr std::array kLayouts = {std::pair{PackageLayout::genai, "genai"},
                                 std::pair{PackageLayout::transformers_js, "transformers-js"},
                                 std::pair{PackageLayout::universal, "universal"}};

/// Of a file that a browser loads into one buffer.
constexpr std::uint64_t kMostBrowserBytes = 2'000'000'000;

}  // namespace

PackageLayout package_layout(std::string_view name) {
  for (const auto& [layout, own_name] : kLayouts)
    if (own_name == name) return layout;
  throw Error(ErrorKind::usage, fmt::format("--layout is \"{}\", expected universal, genai or transformers-js", name));
}

std::string_view name_of(PackageLayout layout) {
  for (const auto& [known, name] : kLayouts)
    if (known == layout) return name;
  throw Error(ErrorKind::internal, "a package layout has no name");
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

const std::vector<GraphKind>& graph_kinds(PackageLayout layout) {
  static const std::vector<GraphKind> kGenai = {GraphKind::vision, GraphKind::embedding, GraphKind::text};
  static const std::vector<GraphKind> kBoth = {GraphKind::vision, GraphKind::token_embedding, GraphKind::embedding,
                                               GraphKind::text};
  return serves_transformers_js(layout) ? kBoth : kGenai;
}

std::string graph_file(PackageLayout layout, GraphKind kind) {
  const bool flat = !serves_transformers_js(layout);
  switch (kind) {
    case GraphKind::vision:
      return flat ? "vision.onnx" : "onnx/vision_encoder.onnx";
    case GraphKind::token_embedding:
      return "onnx/embed_tokens.onnx";
    case GraphKind::embedding:
      return flat ? "embedding.onnx" : "onnx/embedding.onnx";
    case GraphKind::text:
      return flat ? "model.onnx" : "onnx/decoder_model_merged.onnx";
  }
  throw Error(ErrorKind::internal, "a graph of the package has no file");
}

DataFiles data_files(PackageLayout layout, GraphKind kind) {
  DataFiles files{.name = graph_file(layout, kind), .most_bytes = 0, .takes = {}};
  files.name += serves_transformers_js(layout) ? "_data" : ".data";
  if (runs_in_browser(layout)) {
    files.most_bytes = kMostBrowserBytes;
    // Only Transformers.js runs in a browser, and it does not read this one.
    if (kind == GraphKind::embedding) files.takes = {std::string(graph_name(GraphKind::token_embedding))};
    return files;
  }
  for (const GraphKind before : graph_kinds(layout)) {
    if (before == kind) break;
    files.takes.emplace_back(graph_name(before));
  }
  return files;
}

}  // namespace q3vl
