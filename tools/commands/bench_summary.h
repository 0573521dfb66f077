// What rounds of `bench` come to.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "qwen3vl_export/bench.h"

namespace q3vl {

/// A round of one of the packages.
struct BenchRun {
  std::size_t package;  ///< its place in the list
  int round;            ///< from 1 on
  BenchRound found;
};

/// At least one round of every package.
struct BenchReport {
  std::vector<std::string> packages;  ///< one, or two to compare
  BenchRequest settings;              ///< without a package
  int rounds;
  std::vector<BenchRun> runs;  ///< in the order that they were made in
};

/// A number over the rounds: a package's own, or the quotient of two packages'.
struct BenchSpread {
  double median;
  double least;
  double most;
};

/// A number of one measurement, over all rounds.
struct BenchSummary {
  std::vector<std::optional<BenchSpread>> packages;  ///< nothing where a package has no such number
  std::optional<BenchSpread> ratio;                  ///< first / second package, round by round; nothing where one is 0
};

/// What was measured: the first package's, then what the second has besides. Their numbers are those of one round.
std::vector<BenchMeasurement> measurements_of(const BenchReport& report);

BenchSummary summarize(const BenchReport& report, const BenchMeasurement& measurement, const std::string& name);

/// The facts of a package that are the same in all rounds, as the first tells them.
const BenchRound& first_round(const BenchReport& report, std::size_t package);

/// The median of all rounds.
double bandwidth_of(const BenchReport& report);

}  // namespace q3vl
