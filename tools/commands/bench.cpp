#include "qwen3vl_export/bench.h"

#include <fmt/format.h>

#include <chrono>

#include "commands/bench_process.h"
#include "commands/bench_report.h"
#include "commands/command.h"
#include "commands/console.h"

namespace q3vl {
namespace {

namespace fs = std::filesystem;

constexpr const char* kBenchDescription =
    "Tells how fast a package runs in ONNX Runtime on this machine: loading, pictures, prompts, tokens after them,\n"
    "the time to the first token and the memory of each, and how near decoding comes to what the memory's speed "
    "allows.\n"
    "With a second package the two take turns, and the report has their ratios.";

/// The packages in the order of a round: they take turns in being the first.
std::vector<std::size_t> order_of(int round, std::size_t packages) {
  if (packages == 1) return {0};
  return round % 2 == 1 ? std::vector<std::size_t>{0, 1} : std::vector<std::size_t>{1, 0};
}

BenchReport measure(const std::vector<fs::path>& packages, BenchRequest request, int rounds,
                    const ExportObserver& observer) {
  BenchReport report{.packages = {}, .settings = request, .rounds = rounds, .runs = {}};
  for (const fs::path& package : packages) {
    report.packages.push_back(package.string());
    request.package = package;
    check_bench(request);
  }
  for (int round = 1; round <= rounds; ++round)
    for (const std::size_t package : order_of(round, packages.size())) {
      request.package = packages[package];
      const auto start = std::chrono::steady_clock::now();
      report.runs.push_back({package, round, bench_round_apart(request)});
      observer.info(fmt::format("round {} of {}: {}, {:.1f} s", round, rounds, packages[package].string(),
                                std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()));
    }
  return report;
}

}  // namespace

int bench_command(int argc, char** argv) {
  CLI::App app(kBenchDescription, "qwen3vl-export bench");
  fs::path package;
  fs::path against;
  BenchRequest request;
  int rounds = 3;
  bool json = false;
  LogOptions log;
  const auto add_count = [&](const char* name, auto& value, const char* text, const char* type) {
    return app.add_option(name, value, text)->check(CLI::Range(1, 1'000'000'000, "POSITIVE"))->type_name(type);
  };
  app.add_option("package", package, "Folder that an export wrote")->type_name("PACKAGE")->required();
  app.add_option("against", against, "Another one to compare it with")->type_name("AGAINST");
  add_count("--patches", request.patches, "Sizes of pictures, in patches", "LIST")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->capture_default_str();
  add_count("--prompts", request.prompts, "Lengths of prompts, in tokens", "LIST")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->capture_default_str();
  add_count("--tokens", request.tokens, "Tokens to decode after each prompt", "N")->capture_default_str();
  add_count("--repeats", request.repeats, "Runs of each picture and prompt in a round", "N")->capture_default_str();
  add_count("--rounds", rounds, "Rounds, each in a process of its own", "N")->capture_default_str();
  add_count("--threads", request.threads, "Threads of ONNX Runtime's operators (one a physical core)", "N");
  app.add_option("--cache", request.cache, "How keys and values are kept (as genai_config.json says)")
      ->type_name("shared|growing");
  app.add_flag("--matrices", request.matrices,
               "Run the decoder's matrices alone as well: what a step cannot be faster than. Holds them twice");
  app.add_option("--onnxruntime", request.onnxruntime,
                 "The libonnxruntime.so to run it in (Q3VL_ONNXRUNTIME_LIBRARY, or the one installed)")
      ->type_name("FILE");
  app.add_flag("--json", json, "Print every round, medians and ratios as JSON");
  add_log_options(app, log);
  if (const auto code = parse(app, argc, argv)) return *code;

  Console console("bench", log);
  std::vector<fs::path> packages = {package};
  if (!against.empty()) packages.push_back(against);
  const BenchReport report = measure(packages, request, rounds, console.observer());
  if (json)
    fmt::print("{}\n", to_json(report).dump(2, ' ', /*ensure_ascii=*/false, nlohmann::json::error_handler_t::replace));
  else
    print(report);
  console.done(0);
  return 0;
}

}  // namespace q3vl
