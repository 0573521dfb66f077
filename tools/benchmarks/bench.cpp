// Runs the measurements of tools/bench and writes what they found.
#include "bench.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>

#include "base/file.h"
#include "program.h"
#include "qwen3vl_export/error.h"

namespace {

using namespace q3vl;
namespace fs = std::filesystem;

struct Measurement {
  const char* name;
  Json (*measure)(const Settings&);
};

constexpr std::array kMeasurements = {Measurement{"kernels", measure_kernels}, Measurement{"export", measure_export},
                                      Measurement{"memory", measure_memory}, Measurement{"quality", measure_quality}};

/// bench.json of an earlier run, for the measurements that this one leaves out.
Json earlier_results(const fs::path& file) {
  return fs::exists(file) ? Json::parse(read_text_file(file)) : Json::object();
}

int run(int argc, char** argv) {
  Settings settings{.programs = fs::read_symlink("/proc/self/exe").parent_path(),
                    .out = "build/bench",
                    .checkpoint = {},
                    .quality_text = {},
                    .quality_calibration = {}};
  std::vector<std::string> names;
  CLI::App app(
      "Measures exports, their memory, the kernels and what recipes cost. tools/bench builds, runs this and draws the "
      "plots.",
      "qwen3vl-bench");
  app.add_option("MEASUREMENTS", names, "kernels, export, memory, quality; all of them unless told")
      ->check(CLI::IsMember({"kernels", "export", "memory", "quality"}));
  app.add_option("--out", settings.out, "folder of the results and of the scratch checkpoints")->capture_default_str();
  app.add_option("--rounds", settings.rounds, "how often each is measured")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  CLI::Option* size = app.add_option("--size", settings.size, "of the checkpoint that is exported")
                          ->check(CLI::IsMember({"tiny", "2b", "4b", "8b", "32b"}))
                          ->capture_default_str();
  app.add_option("--checkpoint", settings.checkpoint, "the checkpoint to export, instead of a synthetic one")
      ->check(CLI::ExistingDirectory)
      ->excludes(size);
  app.add_option("--memory-sizes", settings.memory_sizes, "of the sparse checkpoints whose exports' memory is measured")
      ->delimiter(',')
      ->check(CLI::IsMember({"tiny", "2b", "4b", "8b", "32b"}))
      ->capture_default_str();
  app.add_option("--quality-text", settings.quality_text,
                 "token ids that the trained model's quality is measured on, as for qwen3vl-export verify --text")
      ->check(CLI::ExistingFile);
  app.add_option("--quality-calibration", settings.quality_calibration,
                 "folder of data that the trained model is calibrated on, as for qwen3vl-export --calibrate")
      ->check(CLI::ExistingDirectory);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : static_cast<int>(ErrorKind::usage);
  }

  fs::create_directories(settings.out);
  const fs::path file = settings.out / "bench.json";
  Json results = earlier_results(file);
  results["machine"] = machine();
  for (const Measurement& measurement : kMeasurements) {
    if (!names.empty() && std::ranges::find(names, measurement.name) == names.end()) continue;
    fmt::print("\n== {} ==\n", measurement.name);
    std::fflush(stdout);
    results[measurement.name] = measurement.measure(settings);
    replace_text_file(file, results.dump(2) + "\n");
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  return run_program([&] { return run(argc, argv); });
}
