#include "commands/bench_summary.h"

#include <algorithm>
#include <cmath>

#include "base/median.h"

namespace q3vl {
namespace {

std::optional<BenchSpread> spread_of(const std::vector<double>& values) {
  if (values.empty()) return std::nullopt;
  const auto [least, most] = std::ranges::minmax(values);
  return BenchSpread{median(values), least, most};
}

std::optional<double> number_in(const BenchRound& round, const BenchMeasurement& measurement, const std::string& name) {
  for (const BenchMeasurement& found : round.measurements)
    if (found.is_as(measurement))
      for (const BenchNumber& number : found.numbers)
        if (number.name == name) return number.value;
  return std::nullopt;
}

/// The number in each round of a package, in the order of the rounds.
std::vector<double> values_of(const BenchReport& report, std::size_t package, const BenchMeasurement& measurement,
                              const std::string& name) {
  std::vector<double> values;
  for (const BenchRun& run : report.runs)
    if (run.package == package)
      if (const auto value = number_in(run.found, measurement, name)) values.push_back(*value);
  return values;
}

}  // namespace

BenchSummary summarize(const BenchReport& report, const BenchMeasurement& measurement, const std::string& name) {
  BenchSummary summary;
  std::vector<std::vector<double>> values;
  for (std::size_t package = 0; package < report.packages.size(); ++package) {
    values.push_back(values_of(report, package, measurement, name));
    summary.packages.push_back(spread_of(values.back()));
  }
  if (values.size() < 2 || values[0].size() != values[1].size()) return summary;
  std::vector<double> ratios;
  for (std::size_t i = 0; i < values[0].size(); ++i) ratios.push_back(values[0][i] / values[1][i]);
  if (std::ranges::all_of(ratios, [](double ratio) { return std::isfinite(ratio); })) summary.ratio = spread_of(ratios);
  return summary;
}

std::vector<BenchMeasurement> measurements_of(const BenchReport& report) {
  std::vector<BenchMeasurement> list;
  for (const BenchRun& run : report.runs)
    for (const BenchMeasurement& found : run.found.measurements)
      if (std::ranges::none_of(list, [&](const BenchMeasurement& other) { return found.is_as(other); }))
        list.push_back(found);
  return list;
}

const BenchRound& first_round(const BenchReport& report, std::size_t package) {
  return std::ranges::find(report.runs, package, &BenchRun::package)->found;
}

double bandwidth_of(const BenchReport& report) {
  std::vector<double> values;
  for (const BenchRun& run : report.runs) values.push_back(run.found.bandwidth);
  return median(values);
}

}  // namespace q3vl
