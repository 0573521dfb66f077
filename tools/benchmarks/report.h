// Measurements as numbers of a report: summed up, as JSON and as the columns of a plot.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "child_process.h"

namespace q3vl {

using Json = nlohmann::ordered_json;

struct Spread {
  double median, min, max;
};

/// Of one value or more.
Spread spread(std::vector<double> values);

Json to_json(const Spread& spread);
Json to_json(const Usage& usage);

/// "8.9 GB".
std::string gigabytes(std::uint64_t bytes);

/// The present time in UTC: "2026-01-31T12:00:00Z".
std::string timestamp();

/// What was measured on: the processor's name, the number of cores, memory and kernel.
Json machine();

/// "AMD EPYC, 2 cores".
std::string machine_name();

/// Replaces a text file whole, or leaves what was there. Throws Error(output).
void replace_text_file(const std::filesystem::path& path, const std::string& text);

}  // namespace q3vl
