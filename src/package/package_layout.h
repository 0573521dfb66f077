// How a package's folder is laid out: which graphs it has, how their files are named, which of them share weights and
// who reads them. A layout is one row of package_layout.cpp and nothing else.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include "data/data_layout.h"
#include "package/client.h"

namespace q3vl {

enum class GraphKind {
  vision,
  token_embedding,  ///< token ids alone go in: Transformers.js
  embedding,        ///< token ids and image features go in: onnxruntime-genai
  text,
};

/// The graph's name inside its file: one for each kind.
std::string_view graph_name(GraphKind kind);

/// Whether a graph of this kind is written for `components`.
bool belongs_to(GraphKind kind, const Components& components);

/// A set of kinds: {GraphKind::vision, GraphKind::text}.
class GraphKinds {
 public:
  constexpr GraphKinds() = default;
  constexpr GraphKinds(std::initializer_list<GraphKind> kinds) {
    for (const GraphKind kind : kinds) bits_ |= bit(kind);
  }
  constexpr bool has(GraphKind kind) const { return (bits_ & bit(kind)) != 0; }

 private:
  static constexpr unsigned bit(GraphKind kind) { return 1U << static_cast<unsigned>(kind); }

  unsigned bits_ = 0;
};

struct LayoutGraph {
  GraphKind kind;
  std::string_view file;             ///< its path in the package
  GraphKinds takes_weights_of = {};  ///< graphs before it; weights that they have lie there alone
};

struct PackageLayout {
  std::string_view name;                   ///< as --layout and the manifest say it
  std::span<const LayoutGraph> graphs;     ///< in the order in which their weights are placed
  std::string_view data_suffix;            ///< of a graph's data file, behind the graph's file name
  std::uint64_t most_data_bytes = 0;       ///< of one data file; 0: there is one for a graph, of any size
  bool in_browser = false;                 ///< graphs are made of what a browser's ONNX Runtime has (decision 14)
  std::span<const Client* const> clients;  ///< whose files the package has, and whose demands it is checked for

  bool serves(const Client& client) const;

  /// The graph of a kind. Throws Error(internal) if the layout has none.
  const LayoutGraph& graph(GraphKind kind) const;

  /// The path of a graph's file in the package. Throws as graph() does.
  std::string file(GraphKind kind) const { return std::string(graph(kind).file); }

  /// The files of a graph's weights, and whose weights it takes. Throws as graph() does.
  DataFiles data_files(GraphKind kind) const;
};

/// All layouts. Without --layout the first is taken all of whose clients can run what is written.
std::span<const PackageLayout> package_layouts();

/// The layout called `name`. Throws Error(usage), listing the known ones.
const PackageLayout& package_layout(std::string_view name);

}  // namespace q3vl
