// The two forms of an inspection's report.
#pragma once

#include <nlohmann/json.hpp>

#include "qwen3vl_export/inspect.h"

namespace q3vl {

/// With the keys that docs/INSPECT.md lists; `tensors` adds every tensor.
nlohmann::ordered_json to_json(const CheckpointInspection& report, bool tensors);
nlohmann::ordered_json to_json(const PackageInspection& report, bool tensors);

/// For people, to standard output.
void print(const CheckpointInspection& report, bool tensors);
void print(const PackageInspection& report, bool tensors);

/// "0–26", or "0–1, 3–26": the indexes of numbered things.
std::string index_text(const std::vector<std::pair<std::int64_t, std::int64_t>>& indexes);

}  // namespace q3vl
