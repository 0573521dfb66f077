// `qwen3vl-export bench`: what it measures cannot be foretold, but how its numbers hang together can, and the bytes
// that its bound counts on can be read elsewhere.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>

#include "support/command_line_test.h"

namespace q3vl::bench_test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::MatchesRegex;

using Flags = std::vector<std::string>;

// Of the preset "tiny": keys and values of 4 layers, 2 heads of 32 float32 numbers.
constexpr std::int64_t kCacheBytes = std::int64_t{2} * 4 * 2 * 32 * 4;

class Bench : public CommandLineTest {
 protected:
  /// The package that the exporter makes of a tiny checkpoint with these flags. Each is made once.
  static const fs::path& package(bool tied, const Flags& flags = {}) {
    static const TemporaryFolder folder;
    static std::map<std::pair<bool, Flags>, fs::path> packages;
    const auto [entry, is_new] = packages.try_emplace({tied, flags}, folder / std::to_string(packages.size()));
    if (is_new) {
      const fs::path checkpoint = folder / (tied ? "tied" : "untied");
      if (!fs::exists(checkpoint)) {
        SynthOptions options = tiny();
        options.model.text.tie_word_embeddings = tied;
        write_synthetic_checkpoint(options, checkpoint);
      }
      Flags command = {Q3VL_EXPORT_BINARY, checkpoint, "-o", entry->second, "-q", "--layout", "genai"};
      command.insert(command.end(), flags.begin(), flags.end());
      const CommandResult result = run_command(command);
      EXPECT_EQ(result.exit_code, 0) << result.err;
    }
    return entry->second;
  }

  /// A copy of it, for the test to change.
  fs::path copied(const fs::path& package) const {
    fs::copy(package, folder_ / "copy");
    return folder_ / "copy";
  }

  static Flags command(const std::vector<fs::path>& packages, const Flags& flags) {
    Flags all = {Q3VL_EXPORT_BINARY, "bench"};
    all.insert(all.end(), packages.begin(), packages.end());
    all.insert(all.end(), flags.begin(), flags.end());
    return all;
  }

  static json bench(const std::vector<fs::path>& packages, Flags flags) {
    flags.insert(flags.end(), {"--json", "-q"});
    const CommandResult result = run_command(command(packages, flags));
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(result.err, "");
    return json::parse(result.out);
  }

  /// The least there is to measure.
  static json least(const fs::path& package, Flags flags = {}) {
    flags.insert(flags.end(),
                 {"--patches", "16", "--prompts", "5", "--tokens", "2", "--rounds", "1", "--repeats", "1"});
    return bench({package}, flags);
  }

  /// The bytes of weights in one file of a package, of one role or of all, by its manifest.
  static std::uint64_t bytes_in(const fs::path& package, const std::string& file, const std::string& role = "") {
    const json manifest = json::parse(read_bytes(package / "manifest.json"));
    std::uint64_t bytes = 0;
    for (const auto& item : manifest["roles"].items())
      if (role.empty() || item.key() == role) bytes += item.value()["files"].value(file, std::uint64_t{0});
    return bytes;
  }

  static std::uint64_t weight_bytes(const fs::path& package) { return least(package)["packages"][0]["weight_bytes"]; }
};

/// What was measured, without the numbers.
std::string name_of(json measurement) {
  measurement.erase("numbers");
  std::string name = measurement["phase"];
  for (const char* key : {"graph", "patches", "prompt", "tokens"})
    if (measurement.contains(key))
      name += " " + (key == std::string("graph") ? measurement[key].get<std::string>() : measurement[key].dump());
  return name;
}

std::vector<std::string> names_of(const json& measurements) {
  std::vector<std::string> names;
  for (const json& measurement : measurements) names.push_back(name_of(measurement));
  return names;
}

std::vector<std::string> keys(const json& object) {
  std::vector<std::string> names;
  for (const auto& item : object.items()) names.push_back(item.key());
  return names;  // in the order of the alphabet
}

/// The numbers of a measurement in every round of a package.
std::vector<json> rounds_of(const json& report, std::size_t package, const std::string& name) {
  std::vector<json> list;
  for (const json& round : report["rounds"])
    if (round["package"] == package)
      for (const json& measurement : round["measurements"])
        if (name_of(measurement) == name) list.push_back(measurement["numbers"]);
  return list;
}

void expect_equal(double found, double expected) {
  EXPECT_NEAR(found, expected, 1e-9 * std::abs(expected));
}

TEST_F(Bench, NumbersHangTogether) {
  const fs::path& package = Bench::package(false);
  const json report = bench({package}, {"--patches", "64,16", "--prompts", "24,5", "--tokens", "4", "--rounds", "2",
                                        "--repeats", "2", "--threads", "1"});
  EXPECT_THAT(keys(report), ElementsAre("machine", "measurements", "packages", "rounds", "settings"));
  EXPECT_THAT(keys(report["machine"]), ElementsAre("bandwidth", "onnxruntime", "processor", "processors"));
  EXPECT_EQ(report["settings"],
            json::parse(R"({"patches": [64, 16], "prompts": [24, 5], "tokens": 4, "repeats": 2, "rounds": 2,
                            "threads": 1})"));
  const std::uint64_t weights = bytes_in(package, "model.onnx.data");
  EXPECT_EQ(report["packages"], json::array({{{"folder", package.string()},
                                              {"cache", "shared"},
                                              {"weight_bytes", weights},
                                              {"cache_bytes_per_token", kCacheBytes}}}));
  const auto measured = ElementsAre("load vision", "load embedding", "load model", "vision 64", "vision 16",
                                    "prompt 24", "decode 24 4", "prompt 5", "decode 5 4", "first_token 64 24");
  EXPECT_THAT(names_of(report["measurements"]), measured);
  ASSERT_EQ(report["rounds"].size(), 2U);
  for (const json& round : report["rounds"]) {
    EXPECT_THAT(names_of(round["measurements"]), measured);
    for (const json& measurement : round["measurements"]) {
      const json& numbers = measurement["numbers"];
      const std::string phase = measurement["phase"];
      EXPECT_GT(numbers["seconds"], 0);
      if (phase == "load") {
        EXPECT_THAT(keys(numbers), ElementsAre("resident_bytes", "seconds"));
        EXPECT_GT(numbers["resident_bytes"], 1'000'000);
      } else {
        EXPECT_GE(numbers["memory_bytes"], 0);
        EXPECT_LT(numbers["memory_bytes"], 200'000'000) << "the buffer that the bandwidth was measured on is counted";
      }
      if (phase == "vision")
        expect_equal(numbers["patches_per_second"].get<double>() * numbers["seconds"].get<double>(),
                     measurement["patches"]);
      if (phase == "prompt")
        expect_equal(numbers["tokens_per_second"].get<double>() * numbers["seconds"].get<double>(),
                     measurement["prompt"]);
      if (phase != "decode") continue;
      EXPECT_THAT(keys(numbers), ElementsAre("bound_tokens_per_second", "memory_bytes", "percent_of_bound",
                                             "read_bytes", "seconds", "step_seconds", "tokens_per_second"));
      expect_equal(numbers["tokens_per_second"].get<double>() * numbers["seconds"].get<double>(), 4);
      EXPECT_LT(2 * numbers["step_seconds"].get<double>(), numbers["seconds"].get<double>());
      double bytes = 4.0 * static_cast<double>(weights);
      for (int step = 1; step <= 4; ++step)
        bytes += static_cast<double>(kCacheBytes) * (measurement["prompt"].get<double>() + step);
      expect_equal(numbers["read_bytes"], bytes / 4);
      expect_equal(numbers["bound_tokens_per_second"].get<double>() * bytes / 4, round["bandwidth"]);
      expect_equal(numbers["percent_of_bound"].get<double>(),
                   100 * numbers["tokens_per_second"].get<double>() / numbers["bound_tokens_per_second"].get<double>());
    }
  }
  for (const json& measurement : report["measurements"]) {
    const std::vector<json> rounds = rounds_of(report, 0, name_of(measurement));
    for (const auto& item : measurement["numbers"].items()) {
      ASSERT_EQ(keys(item.value()), std::vector<std::string>{"medians"});
      ASSERT_EQ(item.value()["medians"].size(), 1U);
      expect_equal(item.value()["medians"][0],
                   (rounds[0][item.key()].get<double>() + rounds[1][item.key()].get<double>()) / 2);
    }
  }
  expect_equal(report["machine"]["bandwidth"],
               (report["rounds"][0]["bandwidth"].get<double>() + report["rounds"][1]["bandwidth"].get<double>()) / 2);
}

TEST_F(Bench, MatricesAreMeasuredAloneInEveryEncoding) {
  for (const char* recipe : {"int4", "w8a8", "fp32"}) {
    SCOPED_TRACE(recipe);
    const json report = bench({package(true, {"--recipe", recipe, "--components", "text"})},
                              {"--prompts", "9", "--tokens", "5", "--rounds", "1", "--repeats", "1", "--matrices"});
    ASSERT_THAT(names_of(report["measurements"]), ElementsAre("load model", "prompt 9", "decode 9 5", "matrices 5"));
    const json& numbers = report["rounds"][0]["measurements"];
    const json& step = numbers[2]["numbers"];
    const json& alone = numbers[3]["numbers"];
    EXPECT_THAT(keys(alone), ElementsAre("seconds", "step_seconds", "tokens_per_second"));
    EXPECT_GT(alone["step_seconds"], 0);
    expect_equal(alone["tokens_per_second"].get<double>() * alone["seconds"].get<double>(), 5);
    expect_equal(step["percent_of_matrices"].get<double>(),
                 100 * alone["step_seconds"].get<double>() / step["step_seconds"].get<double>());
  }
}

TEST_F(Bench, TwoPackagesTakeTurns) {
  const fs::path& whole = package(true);
  const fs::path& text = package(true, {"--components", "text"});
  const Flags flags = {"--patches", "64", "--prompts", "16", "--tokens", "4", "--rounds", "2", "--repeats", "1"};
  const json report = bench({whole, text}, flags);
  std::vector<std::pair<int, int>> order;
  for (const json& round : report["rounds"]) order.emplace_back(round["round"], round["package"]);
  using Pair = std::pair<int, int>;
  EXPECT_THAT(order, ElementsAre(Pair(1, 0), Pair(1, 1), Pair(2, 1), Pair(2, 0)));
  // Sixteen places of the picture and the token that opens it leave no room in a prompt of 16.
  EXPECT_THAT(names_of(report["measurements"]), ElementsAre("load vision", "load embedding", "load model", "vision 64",
                                                            "prompt 16", "decode 16 4", "first_token 64 32"));
  EXPECT_THAT(names_of(report["rounds"][1]["measurements"]), ElementsAre("load model", "prompt 16", "decode 16 4"));
  for (const json& measurement : report["measurements"]) {
    const std::vector<json> ours = rounds_of(report, 0, name_of(measurement));
    const std::vector<json> theirs = rounds_of(report, 1, name_of(measurement));
    for (const auto& item : measurement["numbers"].items()) {
      const json& found = item.value();
      if (theirs.empty()) {
        EXPECT_TRUE(found["medians"][1].is_null());
        EXPECT_TRUE(found["ratio"].is_null());
        continue;
      }
      std::vector<double> a, b, ratios;
      for (std::size_t i = 0; i < 2; ++i) {
        a.push_back(ours[i][item.key()]);
        b.push_back(theirs[i][item.key()]);
        ratios.push_back(a.back() / b.back());
      }
      expect_equal(found["medians"][0], (a[0] + a[1]) / 2);
      expect_equal(found["medians"][1], (b[0] + b[1]) / 2);
      if (b[0] == 0 || b[1] == 0) continue;
      const json& ratio = found["ratio"];
      expect_equal(ratio["median"], (ratios[0] + ratios[1]) / 2);
      EXPECT_EQ(ratio["least"], std::min(ratios[0], ratios[1]));
      EXPECT_EQ(ratio["most"], std::max(ratios[0], ratios[1]));
    }
  }
}

TEST_F(Bench, PeopleSeeATableAndARoundALine) {
  const fs::path& whole = package(true);
  const Flags flags = {"--patches", "16", "--prompts", "5", "--tokens", "2", "--rounds", "1", "--repeats", "1"};
  const CommandResult alone = run_command(command({whole}, flags));
  ASSERT_EQ(alone.exit_code, 0) << alone.err;
  EXPECT_THAT(alone.err, MatchesRegex("info: round 1 of 1: " + whole.string() + ", [0-9.]+ s\n"));
  for (const char* part :
       {" cache a token; shared cache\n", "\nmedian of 1 ", "  ms a step  bound per s   % of bound           MB\n",
        "\nload embedding  ", "\npicture, 16 patches  ", "\nprompt, 5 tokens  ", "\n2 tokens after 5  ",
        "\nfirst token, 16 patches in 5 tokens  "})
    EXPECT_THAT(alone.out, HasSubstr(part));
  EXPECT_EQ(std::count(alone.out.begin(), alone.out.end(), '\n'), 3 + 7);
  const CommandResult both = run_command(command({whole, whole}, flags));
  ASSERT_EQ(both.exit_code, 0) << both.err;
  for (const char* part : {"\nA  ", "\nB  ", "    A / B  least to most\n", "  step      ms  ", "  speed     tokens/s  ",
                           "  of bound  %  ", "  memory    MB  "})
    EXPECT_THAT(both.out, HasSubstr(part));
}

/// What a step reads: all of model.onnx's weights, but of an embedding table only where the head reads it too.
TEST_F(Bench, AStepReadsNoEmbeddingTable) {
  const fs::path& tied = package(true);
  EXPECT_EQ(weight_bytes(tied), bytes_in(tied, "model.onnx.data") + bytes_in(tied, "embedding.onnx.data"));
  const fs::path& tied_text = package(true, {"--components", "text"});
  EXPECT_EQ(weight_bytes(tied_text), bytes_in(tied_text, "model.onnx.data"));
  for (const char* encoding : {"int8", "fp16"}) {
    const fs::path& text = package(false, {"--components", "text", "--embedding", encoding});
    const std::uint64_t table = bytes_in(text, "model.onnx.data", "embedding");
    EXPECT_GE(table, 2048U * 128U);
    EXPECT_EQ(weight_bytes(text), bytes_in(text, "model.onnx.data") - table) << encoding;
  }
}

TEST_F(Bench, CachesOfBothKinds) {
  const fs::path package = copied(Bench::package(true, {"--components", "text"}));
  json config = json::parse(read_bytes(package / "genai_config.json"));
  config["search"]["max_length"] = 4;  // which the prompt is beyond: the cache is as long as it must be
  for (const char* mode : {"shared", "growing"}) {
    config["search"]["past_present_share_buffer"] = mode == std::string("shared");
    write_bytes(package / "genai_config.json", config.dump());
    const std::string other = mode == std::string("shared") ? "growing" : "shared";
    EXPECT_EQ(least(package)["packages"][0]["cache"], mode);
    const json report = least(package, {"--cache", other});
    EXPECT_EQ(report["packages"][0]["cache"], other);
    EXPECT_THAT(names_of(report["measurements"]), ElementsAre("load model", "prompt 5", "decode 5 2"));
  }
}

TEST_F(Bench, RefusesWhatCannotBeMeasured) {
  const fs::path& package = Bench::package(true);
  const auto refused = [&](const Flags& flags, const std::string& message) {
    expect_refused(command({package}, flags), 2, message);
  };
  refused({"--patches", "16,7"},
          "--patches 7: no picture has so many: 2 × 2 patches become one token, so expected a multiple of 4");
  refused({"--prompts", "5,9,5"}, "--prompts names 5 twice");
  refused({"--cache", "warm"}, "--cache is \"warm\", expected shared or growing");
  refused({"--rounds", "0"}, "--rounds: Value 0 not in range 1 to 1000000000; see qwen3vl-export bench --help");
  refused({"--onnxruntime", "libm.so.6"}, "libm.so.6 is not ONNX Runtime: it has no OrtGetApiBase");
  const std::string missing = (folder_ / "missing").string();
  const std::string cannot_open = missing + "/genai_config.json: cannot open: No such file or directory";
  expect_refused({Q3VL_EXPORT_BINARY, "bench", missing}, 3, cannot_open);
  expect_refused({Q3VL_EXPORT_BINARY, "bench", package, missing}, 3, cannot_open);
  expect_refused({Q3VL_EXPORT_BINARY, "bench"}, 2, "package is required; see qwen3vl-export bench --help");
}

TEST_F(Bench, TellsWhatItsProcessRanInto) {
  const fs::path& sound = package(true);
  const fs::path damaged = copied(sound);
  const Flags flags = {"--patches", "16", "--prompts", "3", "--tokens", "2", "--repeats", "1", "-q"};
  const std::string bytes = read_bytes(damaged / "model.onnx");
  write_bytes(damaged / "model.onnx", bytes.substr(0, 500));
  expect_refused(command({sound, damaged}, flags), 3,
                 (damaged / "model.onnx").string() + ": is not an ONNX model, or a damaged one");
  write_bytes(damaged / "model.onnx", bytes);
  fs::resize_file(damaged / "vision.onnx", 500);
  expect_refused(command({damaged}, flags), 3,
                 (damaged / "vision.onnx").string() + ": ONNX Runtime cannot load it: Load model from " +
                     (damaged / "vision.onnx").string() + " failed:Protobuf parsing failed.");
}

TEST_F(Bench, StopsWhenItIsInterrupted) {
  const fs::path& package = Bench::package(true);
  const auto start = std::chrono::steady_clock::now();
  const CommandResult result = run_command(command({package}, {"--rounds", "10000", "-q"}),
                                           /*interrupt_after=*/std::chrono::milliseconds(500));
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
  EXPECT_EQ(result.exit_code, 130);
  EXPECT_EQ(result.err, "qwen3vl-export: interrupted; nothing was left behind\n");
  EXPECT_EQ(result.out, "");
}

}  // namespace
}  // namespace q3vl::bench_test
