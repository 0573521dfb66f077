// The two forms of the report of `bench`.
#pragma once

#include <nlohmann/json.hpp>

#include "commands/bench_summary.h"

namespace q3vl {

/// Everything: docs/BENCH.md has the keys.
nlohmann::ordered_json to_json(const BenchReport& report);

/// For people, to standard output.
void print(const BenchReport& report);

}  // namespace q3vl
