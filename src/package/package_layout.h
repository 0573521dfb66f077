// How a package's folder is laid out: which graphs it has, how their files are named and who reads them.
//
// genai:            vision.onnx, embedding.onnx, model.onnx beside the configs, for onnxruntime-genai alone.
// transformers-js:  the graphs in onnx/, under the names that Transformers.js asks for, and onnxruntime-genai's
//                   embedding beside them. Each graph has its weights in files of its own, small enough for a browser,
//                   and is made of what a browser's ONNX Runtime has (docs/decisions/0014-what-a-browser-runs.md).
// universal:        the same, but graphs share weights, and a graph's weights lie in one file: for onnxruntime-genai
//                   and for Transformers.js in Node.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "serialize/data_layout.h"

namespace q3vl {

enum class PackageLayout { genai, transformers_js, universal };

/// The layout called "genai", "transformers-js" or "universal". Throws Error(usage) for another name.
PackageLayout package_layout(std::string_view name);
std::string_view name_of(PackageLayout layout);

enum class GraphKind {
  vision,
  token_embedding,  ///< token ids alone go in: Transformers.js
  embedding,        ///< token ids and image features go in: onnxruntime-genai
  text,
};

/// The graph's name inside its file: one for each kind.
std::string_view graph_name(GraphKind kind);

/// The graphs that the layout has for vision, embedding and text, in the order in which their weights are placed.
const std::vector<GraphKind>& graph_kinds(PackageLayout layout);

/// The path of the graph's file in the package.
/// Source of the names in onnx/: Transformers.js 4.3.1, session names of image-text-to-text models. They have no suffix
/// for a precision: config.json's transformers.js_config says so to Transformers.js.
std::string graph_file(PackageLayout layout, GraphKind kind);

/// The files of the graph's weights, and whose weights it takes.
DataFiles data_files(PackageLayout layout, GraphKind kind);

/// Whether the package serves Transformers.js.
inline bool serves_transformers_js(PackageLayout layout) {
  return layout != PackageLayout::genai;
}

/// Whether a browser can load the package: its graphs have files of their own, and only what a browser's ONNX Runtime
/// runs.
inline bool runs_in_browser(PackageLayout layout) {
  return layout == PackageLayout::transformers_js;
}

}  // namespace q3vl
