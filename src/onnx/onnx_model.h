// A graph as the bytes of an .onnx file.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "data/data_layout.h"
#include "graph/graph.h"

namespace q3vl {

inline constexpr int kOpset = 17;
inline constexpr int kIrVersion = 8;

/// The versions of the libraries behind it: name and number.
std::vector<std::pair<std::string, std::string>> onnx_versions();

/// The ONNX model of `graph`; its weights refer to the places that `layout` gives them. Deterministic.
std::string onnx_model(const Graph& graph, const DataLayout& layout, const std::string& producer_version);

}  // namespace q3vl
