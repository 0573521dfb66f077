// What an export would write, to the byte, without reading a weight.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "qwen3vl_export/export.h"

namespace q3vl {

/// The weights of one role in one data file. Weights that two graphs share are counted where their bytes lie.
struct PlannedRole {
  std::string role;
  std::string encoding;  ///< "stored", "float32", "float16" or such as "int4-block32-rtn"
  std::string types;     ///< element types of its arrays: "bfloat16", "uint8 + float32"
  std::int64_t weights;  ///< of the checkpoint
  std::int64_t tensors;  ///< arrays that they become
  std::uint64_t bytes;
};

struct PlannedGraph {
  std::string file;
  std::string contents;
  std::int64_t nodes;  ///< of the graph and its subgraphs
  std::uint64_t bytes;
  std::vector<std::string> data_files;  ///< none when all its weights lie in another graph's file
  std::uint64_t data_bytes;             ///< of all of them
  std::vector<PlannedRole> roles;       ///< in them
};

struct PlanReport {
  std::string recipe;  ///< the resolved recipe, as JSON
  std::vector<PlannedGraph> graphs;
  std::vector<ExportedFile> files;  ///< all of them, the manifest last
  std::uint64_t total_bytes;
  std::uint64_t checkpoint_bytes;  ///< that the export would read
  std::uint64_t free_disk_bytes;   ///< where the output, or without one the working folder, lies
  std::uint64_t memory_bytes;      ///< about the largest resident size of the export
};

/// Reads config.json, the small files and the headers of the weights. `request.output` may be empty; nothing is
/// written. Throws Error as export_package does, but for what only the weights' values and the output folder can tell.
PlanReport plan_package(const ExportRequest& request, const ExportObserver& observer);

}  // namespace q3vl
