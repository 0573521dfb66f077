#include "commands/bench_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "commands/bench_process.h"
#include "commands/console.h"

namespace q3vl {
namespace {

using Json = nlohmann::ordered_json;

/// How people see a number.
struct Shown {
  std::string_view name;
  std::string_view title;
  std::string_view unit;
  double scale;
  int decimals;
};

constexpr std::array kShown = {Shown{"seconds", "time", "s", 1, 3},
                               Shown{"patches_per_second", "speed", "patches/s", 1, 1},
                               Shown{"tokens_per_second", "speed", "tokens/s", 1, 1},
                               Shown{"step_seconds", "step", "ms", 1e3, 1},
                               Shown{"bound_tokens_per_second", "bound", "tokens/s", 1, 1},
                               Shown{"percent_of_bound", "of bound", "%", 1, 1},
                               Shown{"percent_of_matrices", "of matrices", "%", 1, 1},
                               Shown{"memory_bytes", "memory", "MB", 1e-6, 1},
                               Shown{"resident_bytes", "resident", "MB", 1e-6, 1}};

/// A column of the table of one package: the numbers that may stand in it, of which a measurement has one at most.
struct Column {
  std::string_view title;
  std::vector<std::string_view> names;
};

const std::array kColumns = {Column{"s", {"seconds"}},
                             Column{"per s", {"patches_per_second", "tokens_per_second"}},
                             Column{"ms a step", {"step_seconds"}},
                             Column{"bound per s", {"bound_tokens_per_second"}},
                             Column{"% of bound", {"percent_of_bound"}},
                             Column{"% of alone", {"percent_of_matrices"}},
                             Column{"MB", {"memory_bytes", "resident_bytes"}}};
constexpr int kNumberWidth = 11;

std::string title_of(const BenchMeasurement& found) {
  if (found.phase == "load") return fmt::format("load {}", found.graph);
  if (found.phase == "vision") return fmt::format("picture, {} patches", found.patches);
  if (found.phase == "prompt") return fmt::format("prompt, {} tokens", found.prompt);
  if (found.phase == "decode") return fmt::format("{} tokens after {}", found.tokens, found.prompt);
  if (found.phase == "matrices") return fmt::format("{} times the matrices alone", found.tokens);
  return fmt::format("first token, {} patches in {} tokens", found.patches, found.prompt);
}

const Shown* shown(std::string_view name) {
  const auto* const found = std::ranges::find(kShown, name, &Shown::name);
  return found == kShown.end() ? nullptr : found;
}

std::string text_of(const Shown& how, double value) {
  return fmt::format("{:.{}f}", value * how.scale, how.decimals);
}

void print_head(const BenchReport& report) {
  const BenchRound& first = report.runs.front().found;
  fmt::print(
      "{} of {}, reading memory at {:.1f} GB/s; ONNX Runtime {}, {}\n",
      first.processors == 1 ? "1 processor" : fmt::format("{} processors", first.processors),
      first.processor.empty() ? "an unknown kind" : first.processor, bandwidth_of(report) / 1e9, first.onnxruntime,
      report.settings.threads == 0 ? "one thread a physical core" : fmt::format("{} threads", report.settings.threads));
  for (std::size_t package = 0; package < report.packages.size(); ++package) {
    const BenchRound& round = first_round(report, package);
    fmt::print("{}{}: a step reads {} of weights and {} of cache a token; {} cache\n",
               report.packages.size() > 1 ? (package == 0 ? "A  " : "B  ") : "", report.packages[package],
               human_bytes(round.weight_bytes), human_bytes(round.cache_bytes_per_token), round.cache);
  }
}

/// The cell of one column: the median of whichever of its numbers the measurement has.
std::string cell(const BenchReport& report, const BenchMeasurement& measurement, const Column& column) {
  for (const std::string_view name : column.names)
    if (const auto found = summarize(report, measurement, std::string(name)).packages.front())
      return text_of(*shown(name), found->median);
  return "";
}

std::size_t title_width(const std::vector<BenchMeasurement>& measurements) {
  std::size_t width = 0;
  for (const BenchMeasurement& measurement : measurements) width = std::max(width, title_of(measurement).size());
  return width;
}

/// Those that have something to say.
std::vector<Column> columns_of(const BenchReport& report, const std::vector<BenchMeasurement>& measurements) {
  std::vector<Column> columns(kColumns.begin(), kColumns.end());
  std::erase_if(columns, [&](const Column& column) {
    return std::ranges::all_of(measurements, [&](const auto& found) { return cell(report, found, column).empty(); });
  });
  return columns;
}

/// A line a measurement.
void print_alone(const BenchReport& report) {
  const std::vector<BenchMeasurement> measurements = measurements_of(report);
  const std::vector<Column> columns = columns_of(report, measurements);
  const std::size_t width = title_width(measurements);
  fmt::print("{:<{}}", fmt::format("median of {}", report.rounds), width);
  for (const Column& column : columns) fmt::print("  {:>{}}", column.title, kNumberWidth);
  fmt::print("\n");
  for (const BenchMeasurement& measurement : measurements) {
    std::string line = fmt::format("{:<{}}", title_of(measurement), width);
    for (const Column& column : columns)
      line += fmt::format("  {:>{}}", cell(report, measurement, column), kNumberWidth);
    fmt::print("{}\n", line.substr(0, line.find_last_not_of(' ') + 1));
  }
}

/// A line a number.
void print_against(const BenchReport& report) {
  const std::vector<BenchMeasurement> measurements = measurements_of(report);
  const std::size_t width = title_width(measurements);
  fmt::print("{:<{}}  {:<8}  {:<9}  {:>{}}  {:>{}}  {:>7}  {}\n", fmt::format("median of {}", report.rounds), width, "",
             "unit", "A", kNumberWidth, "B", kNumberWidth, "A / B", "least to most");
  for (const BenchMeasurement& measurement : measurements)
    for (const BenchNumber& number : measurement.numbers) {
      const Shown* how = shown(number.name);
      if (how == nullptr) continue;
      const BenchSummary summary = summarize(report, measurement, number.name);
      std::string line = fmt::format("{:<{}}  {:<8}  {:<9}", title_of(measurement), width, how->title, how->unit);
      for (const std::optional<BenchSpread>& package : summary.packages)
        line += fmt::format("  {:>{}}", package ? text_of(*how, package->median) : "", kNumberWidth);
      if (const auto& ratio = summary.ratio)
        line += fmt::format("  {:>7.3f}  {:.3f}–{:.3f}", ratio->median, ratio->least, ratio->most);
      fmt::print("{}\n", line.substr(0, line.find_last_not_of(' ') + 1));
    }
}

Json to_json(const std::optional<BenchSpread>& spread) {
  if (!spread) return nullptr;
  return {{"median", spread->median}, {"least", spread->least}, {"most", spread->most}};
}

Json summary_json(const BenchReport& report, const BenchMeasurement& measurement) {
  Json json = to_json(measurement);
  for (auto& [name, number] : json["numbers"].items()) {
    const BenchSummary summary = summarize(report, measurement, name);
    Json medians = Json::array();
    for (const std::optional<BenchSpread>& package : summary.packages)
      medians.push_back(package ? Json(package->median) : Json(nullptr));
    number = {{"medians", std::move(medians)}};
    if (report.packages.size() > 1) number["ratio"] = to_json(summary.ratio);
  }
  return json;
}

Json run_json(const BenchRun& run) {
  Json json = {{"package", run.package},
               {"round", run.round},
               {"bandwidth", run.found.bandwidth},
               {"measurements", Json::array()}};
  for (const BenchMeasurement& measurement : run.found.measurements)
    json["measurements"].push_back(to_json(measurement));
  return json;
}

}  // namespace

Json to_json(const BenchReport& report) {
  const BenchRound& first = report.runs.front().found;
  const auto text_or_null = [](const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); };
  Json json;
  json["machine"] = {{"processor", text_or_null(first.processor)},
                     {"processors", first.processors},
                     {"onnxruntime", first.onnxruntime},
                     {"bandwidth", bandwidth_of(report)}};
  json["settings"] = {{"patches", report.settings.patches},
                      {"prompts", report.settings.prompts},
                      {"tokens", report.settings.tokens},
                      {"repeats", report.settings.repeats},
                      {"rounds", report.rounds},
                      {"threads", report.settings.threads}};
  json["packages"] = Json::array();
  for (std::size_t package = 0; package < report.packages.size(); ++package) {
    const BenchRound& round = first_round(report, package);
    json["packages"].push_back({{"folder", report.packages[package]},
                                {"cache", round.cache},
                                {"weight_bytes", round.weight_bytes},
                                {"cache_bytes_per_token", round.cache_bytes_per_token}});
  }
  json["measurements"] = Json::array();
  for (const BenchMeasurement& measurement : measurements_of(report))
    json["measurements"].push_back(summary_json(report, measurement));
  json["rounds"] = Json::array();
  for (const BenchRun& run : report.runs) json["rounds"].push_back(run_json(run));
  return json;
}

void print(const BenchReport& report) {
  print_head(report);
  if (report.packages.size() > 1)
    print_against(report);
  else
    print_alone(report);
}

}  // namespace q3vl
