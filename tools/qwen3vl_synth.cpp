// qwen3vl-synth PRESET OUT: a Qwen3-VL checkpoint with random weights, in the layout of the hub.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <map>

#include "base/parallel.h"
#include "qwen3vl_export/error.h"
#include "synth/synth_checkpoint.h"

namespace {

using namespace q3vl;

extern "C" void on_signal(int) {
  interrupt_requested = true;
}

int fail(const std::string& message, ErrorKind kind) {
  fmt::print(stderr, "error: {}\n", message);
  return static_cast<int>(kind);
}

struct Arguments {
  std::string preset;
  std::string folder;
  std::string dtype = "bf16";
  std::string distribution = "normal";
  std::uint64_t seed = 0;
  int threads = available_processors();
  bool sparse = false;
  bool tied = false;
  bool untied = false;
};

void write(const Arguments& arguments) {
  static const std::map<std::string, DataType> kTypes = {
      {"bf16", DataType::bfloat16}, {"fp16", DataType::float16}, {"fp32", DataType::float32}};
  static const std::map<std::string, Distribution> kDistributions = {
      {"normal", Distribution::normal},
      {"heavy-tailed", Distribution::heavy_tailed},
      {"outlier-channels", Distribution::outlier_channels}};
  const auto start = std::chrono::steady_clock::now();
  SynthOptions options{.model = synth_preset(arguments.preset)};
  options.type = kTypes.at(arguments.dtype);
  options.distribution = kDistributions.at(arguments.distribution);
  options.seed = arguments.seed;
  options.sparse = arguments.sparse;
  options.threads = arguments.threads;
  if (arguments.preset == "tiny") options.max_shard_bytes = 1'000'000;  // four shards, as on the hub
  if (arguments.tied || arguments.untied) options.model.text.tie_word_embeddings = arguments.tied;

  const SynthReport report = write_synthetic_checkpoint(options, arguments.folder);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  fmt::print("{}: {} parameters in {} tensors, {:.1f} MB{} in {} file{}, {:.1f} s\n", arguments.folder,
             report.parameters, report.tensors, static_cast<double>(report.bytes) / 1e6,
             arguments.sparse ? " (sparse)" : "", report.shards, report.shards == 1 ? "" : "s", seconds.count());
}

int run(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("Writes a Qwen3-VL checkpoint with random weights, in the layout of the hub.", "qwen3vl-synth");
  app.add_option("PRESET", arguments.preset, fmt::format("the model's size: {}", fmt::join(kSynthPresets, ", ")))
      ->required();
  app.add_option("OUT", arguments.folder, "the folder to write, which must be empty or not exist")->required();
  app.add_option("--dtype", arguments.dtype, "type of the weights")
      ->check(CLI::IsMember({"bf16", "fp16", "fp32"}))
      ->capture_default_str();
  CLI::Option* distribution =
      app.add_option("--distribution", arguments.distribution, "how the weights are distributed")
          ->check(CLI::IsMember({"normal", "heavy-tailed", "outlier-channels"}))
          ->capture_default_str();
  app.add_option("--seed", arguments.seed, "another seed gives other weights")->capture_default_str();
  app.add_option("--threads", arguments.threads, "threads; the bytes are the same with any number")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_flag("--sparse", arguments.sparse, "the weights are holes in the files: zeros that take no room on the disk")
      ->excludes(distribution);
  CLI::Option* tied = app.add_flag("--tied", arguments.tied, "lm_head is embed_tokens");
  app.add_flag("--untied", arguments.untied, "lm_head has its own weights")->excludes(tied);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : static_cast<int>(ErrorKind::usage);
  }

  if (std::signal(SIGINT, on_signal) == SIG_ERR || std::signal(SIGTERM, on_signal) == SIG_ERR)
    return fail("cannot handle signals", ErrorKind::internal);
  write(arguments);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const Error& error) {
    return fail(error.what(), error.kind());
  } catch (const std::exception& error) {
    return fail(fmt::format("internal error: {}", error.what()), ErrorKind::internal);
  }
}
