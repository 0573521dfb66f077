// Who may include whom: the table of docs/ARCHITECTURE.md, held against every #include under src/.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <string>

namespace q3vl::architecture_test {
namespace {

namespace fs = std::filesystem;
using Names = std::set<std::string>;

/// The rows "| base | – |" of the table: module → modules it may include.
std::map<std::string, Names> allowed_includes() {
  std::ifstream file(fs::path(Q3VL_SOURCE_DIR) / "docs/ARCHITECTURE.md");
  std::map<std::string, Names> table;
  const std::regex row(R"(^\| `src/(\w+)/` \|[^|]*\| ([^|]*) \|$)");
  const std::regex word(R"(\w+)");
  for (std::string line; std::getline(file, line);) {
    std::smatch match;
    if (!std::regex_match(line, match, row)) continue;
    const std::string list = match[2];
    table[match[1]] = Names(std::sregex_token_iterator(list.begin(), list.end(), word), std::sregex_token_iterator());
  }
  return table;
}

TEST(Architecture, EveryIncludeIsAllowed) {
  const auto allowed = allowed_includes();
  ASSERT_GE(allowed.size(), 10U) << "the table of docs/ARCHITECTURE.md was not found";
  const std::regex include(R"re(^#include "(\w+)/.*)re");
  std::set<std::string> modules;
  for (const fs::directory_entry& folder : fs::directory_iterator(fs::path(Q3VL_SOURCE_DIR) / "src")) {
    if (!folder.is_directory()) continue;
    const std::string module = folder.path().filename();
    modules.insert(module);
    ASSERT_TRUE(allowed.contains(module)) << "docs/ARCHITECTURE.md has no row for src/" << module;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
      if (!entry.is_regular_file()) continue;
      std::ifstream file(entry.path());
      for (std::string line; std::getline(file, line);) {
        std::smatch match;
        if (!std::regex_match(line, match, include)) continue;
        const std::string other = match[1];
        EXPECT_TRUE(other == module || other == "qwen3vl_export" || allowed.at(module).contains(other))
            << entry.path() << ": " << line;
      }
    }
  }
  for (const auto& [module, others] : allowed)
    EXPECT_TRUE(modules.contains(module)) << "docs/ARCHITECTURE.md describes src/" << module << ", which is gone";
}

/// Heavy headers behind few files: Torch, ONNX's messages, ICU, minja and CLI11 each have their place.
TEST(Architecture, HeavyHeadersStayInTheirModules) {
  const std::map<std::string, Names> homes = {{"ATen/", {"tensors", "reference", "torch_backend"}},
                                              {"c10/", {"torch_block", "tensors", "reference", "torch_backend"}},
                                              {"torch/csrc/api/include/torch/version.h", {"pipeline"}},
                                              {"onnx/", {"onnx"}},
                                              {"google/protobuf", {"onnx"}},
                                              {"CLI/", {}},
                                              {"hwy/", {"kernels", "quant"}},
                                              {"unicode/", {"tokenizer"}},
                                              {"minja/", {"chat"}},
                                              {"onnxruntime_", {"runtime"}}};
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(fs::path(Q3VL_SOURCE_DIR) / "src")) {
    if (!entry.is_regular_file()) continue;
    const std::string module = *fs::relative(entry.path(), fs::path(Q3VL_SOURCE_DIR) / "src").begin();
    std::ifstream file(entry.path());
    for (std::string line; std::getline(file, line);)
      for (const auto& [prefix, allowed] : homes)
        if (line.starts_with("#include <" + prefix)) {
          EXPECT_TRUE(allowed.contains(module)) << entry.path() << ": " << line;
        }
  }
}

}  // namespace
}  // namespace q3vl::architecture_test
