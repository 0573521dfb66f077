// The story of a dry run: an export up to the first byte.
#include "qwen3vl_export/plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/file.h"
#include "data/role_sizes.h"
#include "data/weight_encoder.h"
#include "pipeline/make_plan.h"
#include "quant/quantizer.h"

namespace q3vl {
namespace {

std::vector<PlannedRole> roles_in(const std::vector<RoleSize>& sizes, const std::vector<std::string>& files) {
  std::vector<PlannedRole> roles;
  for (const RoleSize& size : sizes) {
    if (std::ranges::find(files, size.file) == files.end()) continue;
    std::vector<std::string_view> types;
    for (const DataType type : size.types) types.push_back(name_of(type));
    roles.push_back({.role = std::string(name_of(size.role)),
                     .encoding = to_string(size.encoding),
                     .types = fmt::format("{}", fmt::join(types, " + ")),
                     .weights = size.weights,
                     .tensors = size.weights * static_cast<std::int64_t>(types.size()),
                     .bytes = size.bytes});
  }
  return roles;
}

std::uint64_t free_space(const std::filesystem::path& output) {
  std::filesystem::path folder = std::filesystem::absolute(output.empty() ? "." : output);
  std::error_code error;
  while (!std::filesystem::exists(folder, error) && folder.has_relative_path()) folder = folder.parent_path();
  return disk_space(folder).bytes;
}

// Measured on exports of the tiny model to the 32B, with 1 to 16 threads: what LibTorch and its libraries take with the
// blocks that are read and written, and for each thread that encodes one block more. A graph is held as nodes, as a
// message and as bytes, and once more in checks.
constexpr std::uint64_t kProgramBytes = 174'000'000;
constexpr std::uint64_t kThreadBytes = 5'500'000;
constexpr std::uint64_t kGraphFactor = 16;

/// What two tensors of the widest kind that is quantised with feedback take: their factors, and a panel of them
/// widened.
std::uint64_t feedback_bytes(const WeightRequests& requests) {
  constexpr std::uint64_t kPanelBytes = 256 * sizeof(float);
  std::uint64_t most = 0;
  for (const WeightRequest* request : requests.all()) {
    if (!request->encoding.in_blocks() || !quantizer(request->encoding.quantizer).feedback) continue;
    const auto columns = static_cast<std::uint64_t>(request->columns);
    most = std::max(most, columns * columns + columns * kPanelBytes);
  }
  return 2 * most;
}

}  // namespace

PlanReport plan_package(const ExportRequest& request, const ExportObserver& observer) {
  const PackagePlan plan = make_plan(request, observer);
  PlanReport report{.recipe = plan.recipe.to_json().dump(),
                    .graphs = {},
                    .files = plan.files(),
                    .total_bytes = 0,
                    .checkpoint_bytes = bytes_to_encode(plan.layout, *plan.checkpoint),
                    .free_disk_bytes = free_space(request.output),
                    .memory_bytes = 0};
  for (const ExportedFile& file : report.files) report.total_bytes += file.bytes;
  const std::vector<RoleSize> sizes = sizes_by_role(plan.layout);
  std::uint64_t graph_bytes = 0;
  for (const WrittenGraph& graph : plan.graphs) {
    const std::vector<std::string> data = plan.layout.files_of(std::string(graph_name(graph.kind)));
    std::uint64_t data_bytes = 0;
    for (const std::string& file : data) data_bytes += plan.layout.files().at(file);
    report.graphs.push_back({.file = graph.file,
                             .contents = graph.contents,
                             .nodes = graph.nodes,
                             .bytes = std::ranges::find(report.files, graph.file, &ExportedFile::name)->bytes,
                             .data_files = data,
                             .data_bytes = data_bytes,
                             .roles = roles_in(sizes, data)});
    graph_bytes += report.graphs.back().bytes;
  }
  const auto threads = static_cast<std::uint64_t>(encoding_threads(request.threads));
  report.memory_bytes =
      kProgramBytes + threads * kThreadBytes + graph_bytes * kGraphFactor + feedback_bytes(plan.requests);
  return report;
}

}  // namespace q3vl
