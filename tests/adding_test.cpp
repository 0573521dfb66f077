// What docs/ADDING.md promises: the files that it names, and that a layout is a row and nothing else.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>

#include "data/data_layout.h"
#include "package/package_layout.h"
#include "quant/role.h"

namespace q3vl::adding_test {
namespace {

namespace fs = std::filesystem;

TEST(Adding, ThePageNamesFilesThatAreThere) {
  const fs::path root = Q3VL_SOURCE_DIR;
  std::ifstream file(root / "docs" / "ADDING.md");
  const std::string page((std::istreambuf_iterator<char>(file)), {});
  const std::regex path("`([a-zA-Z0-9_]+/[a-zA-Z0-9_/.]*)`");
  std::set<std::string> named;
  for (auto match = std::sregex_iterator(page.begin(), page.end(), path); match != std::sregex_iterator(); ++match)
    named.insert((*match)[1]);
  EXPECT_GE(named.size(), 20U);
  for (const std::string& name : named)
    EXPECT_TRUE(fs::exists(root / name) || fs::exists(root / "src" / name)) << "docs/ADDING.md names " << name;
}

/// Graphs of a layout that nobody has, with weights of their own and one that all of them read, placed by its row.
TEST(Adding, ALayoutIsARow) {
  constexpr std::array kGraphs = {
      LayoutGraph{GraphKind::vision, "a/eyes.onnx"},
      LayoutGraph{GraphKind::text, "b/mouth.onnx", {GraphKind::vision}},
  };
  constexpr std::array kClients = {&kGenai};
  const PackageLayout row{
      .name = "dummy", .graphs = kGraphs, .data_suffix = ".weights", .most_data_bytes = 1 << 16, .clients = kClients};
  EXPECT_TRUE(row.serves(kGenai));
  EXPECT_FALSE(row.serves(kTransformersJs));

  WeightRequests requests(
      [](const std::string&) {
        return StoredWeight{DataType::float32, {64, 128}};
      },
      [](const WeightUse&) { return Encoding{}; });
  DataLayout layout;
  for (const LayoutGraph& graph : row.graphs) {
    Graph made{std::string(graph_name(graph.kind))};
    requests.begin_graph();
    for (const std::string& name : {std::string(graph.file), std::string("shared")}) {
      const WeightRequest& request = requests.request(name, {64, 128}, Role::norm);
      made.weight(name, DataType::float32, {64, 128}, request.blob(0));
    }
    layout.place(made, requests, row.data_files(graph.kind));
  }
  // Two weights of 32 KiB fill the first graph's file; the second graph has one of its own and takes the shared one.
  EXPECT_THAT(layout.files(), testing::ElementsAre(testing::Pair("a/eyes.onnx.weights", 65536),
                                                   testing::Pair("b/mouth.onnx.weights", 32768)));
  EXPECT_EQ(row.file(GraphKind::text), "b/mouth.onnx");
}

TEST(Adding, RolesThatShareAnInputNameTheFirstThatReadsIt) {
  for (const RoleRow& row : roles()) {
    if (!row.reads_input_of) continue;
    EXPECT_LT(*row.reads_input_of, row.role) << row.name;
    EXPECT_TRUE(in_layers(row.role) && in_layers(*row.reads_input_of)) << row.name;
  }
}

}  // namespace
}  // namespace q3vl::adding_test
