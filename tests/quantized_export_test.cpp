// What the command line lets one say about quantisation: rules for tensors, importance, a target size, calibrations.
// Judged by the packages that come out.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "support/command.h"
#include "support/command_line_test.h"

namespace q3vl::quantized_export_test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;

class QuantizedExport : public CommandLineTest {
 protected:
  QuantizedExport() { make(tiny()); }

  CommandResult run(const fs::path& output, std::vector<std::string> options) const {
    options.insert(options.begin(), {Q3VL_EXPORT_BINARY, checkpoint_, "-o", output, "--layout", "genai"});
    return run_command(options);
  }

  /// A package of the text alone.
  fs::path package(const std::string& name, std::vector<std::string> options) const {
    options.insert(options.end(), {"--components", "text", "-q"});
    const CommandResult result = run(folder_ / name, options);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return folder_ / name;
  }

  static std::uint64_t size(const fs::path& package) {
    std::uint64_t bytes = 0;
    for (const auto& entry : fs::directory_iterator(package)) bytes += entry.file_size();
    return bytes;
  }

  static json manifest(const fs::path& package) { return json::parse(read_bytes(package / "manifest.json")); }

  json verified(const fs::path& package, std::vector<std::string> options) const {
    options.insert(options.begin(), {Q3VL_EXPORT_BINARY, "verify", package, "--checkpoint", checkpoint_, "--json"});
    const CommandResult result = run_command(options);
    EXPECT_EQ(result.exit_code, 0) << result.err << result.out;
    return json::parse(result.out, nullptr, false);
  }

  /// Token files as --calibrate reads them; their tokens follow each other as in no uniform noise.
  fs::path texts(unsigned seed) const {
    std::mt19937 random(seed);
    json sequences = json::array();
    for (int i = 0; i < 6; ++i) {
      json ids = json::array();
      for (unsigned at = 0; at < 80; ++at) ids.push_back((random() % 40 + at / 8) % 300);
      sequences.push_back({{"input_ids", ids}});
    }
    const fs::path folder = folder_ / ("texts" + std::to_string(seed));
    fs::create_directory(folder);
    std::ofstream(folder / "text.json") << json{{"sequences", sequences}};
    return folder;
  }
};

TEST_F(QuantizedExport, RulesReachTheTensorsThatTheyName) {
  const fs::path out = package("out", {"--tensor", "mlp_down@0,-1=int8-block64", "--tensor", "attention_k=fp16"});
  const json roles = manifest(out)["roles"];
  EXPECT_EQ(roles["mlp_down"]["encoding"], "int8-block64-rtn-sym, int4-block32-grid-asym");
  EXPECT_EQ(roles["mlp_down"]["encodings"]["int8-block64-rtn-sym"]["weights"], 2);
  EXPECT_EQ(roles["mlp_down"]["encodings"]["int4-block32-grid-asym"]["weights"], 2);
  EXPECT_EQ(roles["attention_k"]["encoding"], "float16");
  EXPECT_EQ(roles["mlp_up"]["encoding"], "int4-block32-grid-asym");
  EXPECT_EQ(roles["mlp_up"]["symmetric"], false);
  const json again = manifest(package("again", {"--recipe", out / "manifest.json"}));
  EXPECT_EQ(again["roles"], roles);
  EXPECT_EQ(again["files"], manifest(out)["files"]);
  const json report = verified(out, {"--checks", "graph,weights,numerics"});
  EXPECT_TRUE(report["ok"]) << report;
}

TEST_F(QuantizedExport, AnInt8CacheIsProvenAndRecorded) {
  const fs::path out = package("out", {"--kv-cache", "int8", "--recipe", "int8"});
  const json found = manifest(out);
  EXPECT_EQ(found["recipe"]["text"]["kv_cache"], "int8");
  EXPECT_EQ(found["roles"]["value_norms"]["encoding"], "row_norms");
  EXPECT_EQ(found["roles"]["value_norms"]["weights"], 4);
  EXPECT_EQ(tree(package("again", {"--recipe", out / "manifest.json"})), tree(out));
  const json report = verified(out, {});
  for (const char* check : {"graph", "weights", "numerics", "quality"}) EXPECT_TRUE(report[check]["ok"]) << report;
  EXPECT_FALSE(manifest(package("float", {}))["recipe"]["text"].contains("kv_cache"));
  expect_refused({Q3VL_EXPORT_BINARY, checkpoint_, "-o", out_, "--kv-cache", "fp16"}, 2,
                 "--kv-cache is \"fp16\", expected float or int8");
}

TEST_F(QuantizedExport, LayersThatAreNotThereAreRefused) {
  expect_refused({Q3VL_EXPORT_BINARY, checkpoint_, "-o", out_, "--tensor", "mlp_down@4=int8"}, 2,
                 "the rule mlp_down@4=int8-block128-rtn-sym names the layers 4, but the model has layers 0 to 3");
}

TEST_F(QuantizedExport, ATargetSizeIsFilledAndKept) {
  const std::uint64_t least = size(package("least", {"--text", "int4-block128", "--embedding", "int4-block128"}));
  const fs::path exact = package("exact", {"--target-size", std::to_string(least)});
  EXPECT_EQ(read_bytes(exact / "model.onnx.data"), read_bytes(folder_ / "least" / "model.onnx.data"));
  const std::uint64_t most = size(package("most", {"--recipe", "int8"}));
  double last_kld = 1e9;
  for (const int part : {5, 40, 80}) {
    const std::uint64_t target = least + (most - least) * static_cast<std::uint64_t>(part) / 100;
    const std::string name = "fitted" + std::to_string(part);
    const fs::path out = package(name, {"--target-size", std::to_string(target)});
    EXPECT_LE(size(out), target);
    EXPECT_GT(size(out), target - (most - least) / 8) << "the room is used";
    const double kld = verified(out, {"--checks", "quality"})["quality"]["mean_kld"];
    EXPECT_LT(kld, last_kld) << "more room, less loss";
    last_kld = kld;
    // The same on another number of threads, and from the recipe that came out, without measuring again.
    EXPECT_EQ(tree(package(name + "-1", {"--target-size", std::to_string(target), "--threads", "1"})), tree(out));
    EXPECT_EQ(read_bytes(package(name + "-2", {"--recipe", out / "manifest.json"}) / "model.onnx.data"),
              read_bytes(out / "model.onnx.data"));
  }
}

TEST_F(QuantizedExport, RulesOfTheCommandLineHoldInATargetSize) {
  const fs::path out = package("out", {"--target-size", "1.3MB", "--tensor", "mlp_gate=int2", "--embedding", "fp16"});
  const json roles = manifest(out)["roles"];
  EXPECT_EQ(roles["mlp_gate"]["encoding"], "int2-block32-grid-asym");
  EXPECT_EQ(roles["embedding"]["encoding"], "float16");
}

TEST_F(QuantizedExport, TargetSizesThatCannotBeAreRefused) {
  const auto refusal = [&](const std::string& size, std::vector<std::string> options = {}) {
    options.insert(options.end(), {"--target-size", size, "-q"});
    const CommandResult result = run(out_, options);
    EXPECT_EQ(result.exit_code, 2);
    EXPECT_FALSE(fs::exists(out_));
    return result.err;
  };
  const std::string too_small = refusal("100kB");
  EXPECT_THAT(too_small, HasSubstr("--target-size is 100000 bytes, but the smallest package is "));
  EXPECT_THAT(too_small, HasSubstr(", with the language model as int4-block128-grid-asym; ask for more, or for less "
                                   "with --tensor, --embedding or --vision\n"));
  EXPECT_THAT(refusal("100kB", {"--components", "vision"}), HasSubstr("but the smallest package is "));
  for (const char* size : {"much", "-3GB", "3 GB", "0", "1e30", "2.3gb"})
    EXPECT_EQ(refusal(size), "qwen3vl-export: --target-size is \"" + std::string(size) +
                                 "\", expected a number of bytes, as in 2.3GB, 900MiB or 3000000000\n");
  EXPECT_EQ(refusal("2GB", {"--recipe", "fp32"}),
            "qwen3vl-export: --target-size goes with a text decoder that is quantised in blocks, but that of the "
            "recipe fp32 is fp32\n");
}

TEST_F(QuantizedExport, ImportanceChangesWhatItIsSaidToAndNoMore) {
  const auto plain = tree(package("plain", {}));
  const auto weighed = tree(package("weighed", {"--importance", "weights"}));
  EXPECT_EQ(plain.at("model.onnx.data").size(), weighed.at("model.onnx.data").size());
  EXPECT_NE(plain.at("model.onnx.data"), weighed.at("model.onnx.data"));
  EXPECT_EQ(tree(package("rtn-plain", {"--recipe", "int4-rtn"})).at("model.onnx.data"),
            tree(package("rtn-weighed", {"--recipe", "int4-rtn", "--importance", "weights"})).at("model.onnx.data"));
  EXPECT_TRUE(verified(folder_ / "weighed", {"--checks", "graph,weights"})["ok"]);
}

/// Rows of the tower whose channels differ by a factor of ten and more, as those of trained ones do.
TEST_F(QuantizedExport, AnInt8TowerKeepsItsFeaturesThroughOutlierChannels) {
  SynthOptions options = tiny();
  options.edit_tensors = [](std::vector<SynthTensor>& tensors) {
    for (SynthTensor& tensor : tensors)
      if (tensor.name.starts_with("model.visual") && tensor.name.find("norm") != std::string::npos &&
          tensor.name.ends_with(".weight")) {
        tensor.heavy_tails = true;
        tensor.mean = 0;
        tensor.standard_deviation = 1;
      }
  };
  fs::remove_all(checkpoint_);
  make(options);
  const fs::path package = folder_ / "tower";
  ASSERT_EQ(run(package, {"--components", "vision", "--vision", "int8", "-q"}).exit_code, 0);
  const json report = verified(package, {});
  EXPECT_LT(report["numerics"]["largest_error"], 1e-4) << "with float activations";
  int outputs = 0;
  for (const json& row : report["quality"]["components"]) {
    if (row["value"] == "weights") continue;
    EXPECT_GT(row["cosine"], 0.999) << row["value"];
    EXPECT_LT(row["cosine"], 0.9999999) << row["value"] << ": activations are quantised";
    ++outputs;
  }
  EXPECT_EQ(outputs, 4) << "features and three DeepStack levels";
}

TEST_F(QuantizedExport, GptqLosesLessThanGridOnTextsLikeItsCalibration) {
  const fs::path data = texts(1);
  const fs::path plain = package("plain", {});
  const fs::path gptq = package("gptq", {"--recipe", "int4-gptq", "--calibrate", data});
  const fs::path file = folder_ / "gptq.calibration";
  ASSERT_TRUE(fs::exists(file)) << "beside the package";
  EXPECT_EQ(size(plain) - fs::file_size(plain / "manifest.json"), size(gptq) - fs::file_size(gptq / "manifest.json"));
  const std::string judged = texts(2) / "text.json";
  const auto kld = [&](const fs::path& out) {
    return verified(out, {"--checks", "quality", "--text", judged})["quality"]["text"]["kld"].get<double>();
  };
  EXPECT_LT(kld(gptq), 0.9 * kld(plain));

  // Exports from the same file are the same bytes; with it the package is proven, and without it that is said.
  const auto before = read_bytes(file);
  const auto again = tree(package("again", {"--recipe", "int4-gptq", "--calibration", file, "--threads", "1"}));
  EXPECT_EQ(again, tree(gptq));
  const auto reused = tree(package("reused", {"--recipe", "int4-gptq", "--calibrate", data, "--calibration", file}));
  EXPECT_EQ(reused, tree(gptq));
  EXPECT_EQ(read_bytes(file), before);
  EXPECT_TRUE(verified(gptq, {"--checks", "graph,weights,numerics", "--calibration", file})["ok"]);
  const CommandResult unproven =
      run_command({Q3VL_EXPORT_BINARY, "verify", gptq, "--checkpoint", checkpoint_, "--checks", "weights"});
  EXPECT_EQ(unproven.exit_code, 2);
  EXPECT_THAT(unproven.err, HasSubstr("quantises with a calibration: name its file with --calibration FILE"));
}

TEST_F(QuantizedExport, CalibrationsThatDoNotFitAreRefused) {
  const fs::path data = texts(1);
  const fs::path file = folder_ / "moments.calibration";
  package("first", {"--calibrate", data, "--calibration", file});
  const auto refusal = [&](std::vector<std::string> options, int code) {
    options.emplace_back("-q");
    const CommandResult result = run(out_, options);
    EXPECT_EQ(result.exit_code, code);
    EXPECT_FALSE(fs::exists(out_));
    return result.err;
  };
  EXPECT_EQ(
      refusal({"--recipe", "int4-gptq", "--calibration", file}, 2),
      "qwen3vl-export: " + file.string() +
          ": holds no feedback factors, which gptq needs; it was made for a recipe without gptq: make one for this "
          "recipe with --calibrate DIR\n");
  EXPECT_THAT(refusal({"--calibrate", texts(2), "--calibration", file}, 2),
              HasSubstr("; remove it, or name another file with --calibration\n"));
  EXPECT_EQ(
      refusal({"--recipe", "int4-gptq"}, 2),
      "qwen3vl-export: the recipe int4-gptq quantises with a calibration: name its file with --calibration FILE, or "
      "make one with --calibrate DIR\n");
  EXPECT_THAT(refusal({"--calibration", folder_ / "none"}, 3),
              HasSubstr("none: cannot open: No such file or directory"));
}

}  // namespace
}  // namespace q3vl::quantized_export_test
