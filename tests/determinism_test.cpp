// Equal inputs and options, equal bytes: whatever the instructions, the threads, the folder and the build.
#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "base/sha256.h"
#include "qwen3vl_export/calibrate.h"
#include "qwen3vl_export/export.h"
#include "support/command_line_test.h"
#include "support/odd_model.h"

namespace q3vl::determinism_test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

/// Every format that weights are written in, and every quantiser that needs no data.
const std::map<std::string, ExportRequest> kRecipes = {
    {"int4", {.recipe = "int4"}},
    {"int4-rtn", {.recipe = "int4-rtn"}},
    {"int4-mixed, kv-cache int8", {.recipe = "int4-mixed", .kv_cache = "int8"}},
    {"hqq int2", {.recipe = "int4", .text = "int2-block16-hqq-asym"}},
    {"k-quant, importance", {.recipe = "int4", .text = "int4-block32-kquant-asym", .importance = "weights"}},
    {"w8a8, vision int8", {.recipe = "w8a8", .vision = "int8"}},
    {"fp16", {.recipe = "fp16"}},
    {"fp32", {.recipe = "fp32"}},
    {"int4, universal", {.recipe = "int4", .layout = "universal"}},
    {"int4, transformers-js", {.recipe = "int4", .layout = "transformers-js"}},
};

class Determinism : public testing::Test {
 protected:
  /// The package of `recipe`, file by file.
  std::map<std::string, std::string> exported(const fs::path& checkpoint, const std::string& recipe, int threads) {
    ExportRequest request = kRecipes.at(recipe);
    request.checkpoint = checkpoint;
    if (request.layout.empty()) request.layout = "genai";
    request.output = folder_.path() / std::to_string(exports_++);
    request.threads = threads;
    export_package(request, {});
    auto files = tree(request.output);
    fs::remove_all(request.output);
    return files;
  }

  TemporaryFolder folder_;

 private:
  int exports_ = 0;
};

void use_instructions(std::int64_t target) {
  hwy::SetSupportedTargetsForTest(target);  // 0: all of them
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

TEST_F(Determinism, BytesDoNotDependOnTheInstructionSet) {
  SynthOptions options = odd_model(2);
  options.distribution = Distribution::heavy_tailed;
  const fs::path checkpoint = folder_.path() / "checkpoint";
  write_synthetic_checkpoint(options, checkpoint);
  const std::vector<std::int64_t> targets = hwy::SupportedAndGeneratedTargets();
  ASSERT_GE(targets.size(), 2U) << "nothing to compare";
  for (const auto& [recipe, request] : kRecipes) {
    std::map<std::string, std::string> first;
    for (const std::int64_t target : targets) {
      use_instructions(target);
      const auto files = exported(checkpoint, recipe, 2);
      if (first.empty()) first = files;
      EXPECT_EQ(files.size(), first.size());
      for (const auto& [name, bytes] : first)
        EXPECT_TRUE(files.at(name) == bytes) << recipe << ": " << name << " with " << hwy::TargetName(target);
    }
  }
  use_instructions(0);
}

/// Every recipe by name, from one calibration, which those that look at no data leave aside.
TEST_F(Determinism, EveryRecipeGivesTheSameBytes) {
  const fs::path checkpoint = folder_.path() / "checkpoint";
  SynthOptions options = odd_model(2);
  options.distribution = Distribution::heavy_tailed;
  write_synthetic_checkpoint(options, checkpoint);
  fs::create_directory(folder_.path() / "data");
  write_bytes(folder_.path() / "data/text.json", R"({"input_ids": [5, 9, 900, 17, 33, 1024, 7]})");
  const fs::path calibration = folder_.path() / "calibration";
  calibrate({.checkpoint = checkpoint, .data = folder_.path() / "data", .output = calibration, .feedback = true}, {});
  const std::vector<std::int64_t> targets = hwy::SupportedAndGeneratedTargets();
  for (const auto& [recipe, description] : builtin_recipes()) {
    std::map<std::string, std::string> first;
    for (std::size_t i = 0; i < targets.size(); ++i) {
      use_instructions(targets[i]);
      const fs::path output = folder_.path() / "out";
      export_package({.checkpoint = checkpoint,
                      .output = output,
                      .recipe = recipe,
                      .calibration = calibration,
                      .layout = "genai",
                      .threads = static_cast<int>(1 + 2 * i)},
                     {});
      const auto files = tree(output);
      fs::remove_all(output);
      if (first.empty()) first = files;
      EXPECT_TRUE(files == first) << recipe << " with " << hwy::TargetName(targets[i]);
    }
  }
  use_instructions(0);
}

TEST_F(Determinism, BytesDoNotDependOnTheThreadsOrTheFolder) {
  const fs::path checkpoint = folder_.path() / "checkpoint";
  write_synthetic_checkpoint(odd_model(2), checkpoint);
  for (const auto& [recipe, request] : kRecipes) {
    const auto first = exported(checkpoint, recipe, 1);
    for (const int threads : {2, 5}) EXPECT_TRUE(exported(checkpoint, recipe, threads) == first) << recipe;
  }
}

/// What must be equal on every machine: all but the versions of the libraries that the manifest names.
std::string without_versions(const std::string& name, const std::string& bytes) {
  if (name != "manifest.json") return bytes;
  nlohmann::ordered_json manifest = nlohmann::ordered_json::parse(bytes);
  manifest.erase("versions");
  return manifest.dump(2);
}

/// The digests were recorded once, in an optimised build on a machine with AVX-512: other machines and other builds
/// must come to the same. Where bytes change on purpose, the new digests go into the file.
TEST_F(Determinism, BytesAreThoseThatWereRecorded) {
  const fs::path data = Q3VL_TEST_DATA_DIR;
  const json recorded = json::parse(read_bytes(data / "package_sha256.json"));
  json found = json::object();
  for (const auto& [recipe, request] : kRecipes)
    for (const auto& [name, bytes] : exported(data / "tiny-a/checkpoint", recipe, 2))
      found[recipe][name] = sha256_of(without_versions(name, bytes));
  EXPECT_TRUE(found == recorded) << found.dump(2);
}

}  // namespace
}  // namespace q3vl::determinism_test
