#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "commands/command.h"
#include "commands/console.h"
#include "qwen3vl_export/plan.h"

namespace q3vl {
namespace {

constexpr const char* kPlanDescription =
    "Tells what an export with the same options would write: graphs, encodings, every file's exact size, and whether\n"
    "there is room for it. Reads config.json and the weights' headers; no weight is read and nothing is written.";

nlohmann::ordered_json to_json(const PlanReport& report) {
  nlohmann::ordered_json json;
  json["recipe"] = nlohmann::ordered_json::parse(report.recipe);
  json["graphs"] = nlohmann::ordered_json::array();
  for (const PlannedGraph& graph : report.graphs) {
    nlohmann::ordered_json roles = nlohmann::ordered_json::array();
    for (const PlannedRole& role : graph.roles)
      roles.push_back({{"role", role.role},
                       {"encoding", role.encoding},
                       {"types", role.types},
                       {"weights", role.weights},
                       {"tensors", role.tensors},
                       {"bytes", role.bytes}});
    json["graphs"].push_back({{"file", graph.file},
                              {"nodes", graph.nodes},
                              {"bytes", graph.bytes},
                              {"data_files", graph.data_files},
                              {"data_bytes", graph.data_bytes},
                              {"roles", std::move(roles)}});
  }
  for (const ExportedFile& file : report.files) json["files"][file.name] = {{"bytes", file.bytes}};
  json["total_bytes"] = report.total_bytes;
  json["checkpoint_bytes"] = report.checkpoint_bytes;
  json["free_disk_bytes"] = report.free_disk_bytes;
  json["estimated_memory_bytes"] = report.memory_bytes;
  return json;
}

void print(const PlanReport& report) {
  for (const PlannedGraph& graph : report.graphs) {
    fmt::print("{}: {}, {} nodes\n", graph.file, graph.contents, graph.nodes);
    for (const PlannedRole& role : graph.roles)
      fmt::print("  {:<18} {:<24} {:>5} weights {:>5} tensors {:>14} bytes  {}\n", role.role, role.encoding,
                 role.weights, role.tensors, role.bytes, role.types);
    if (graph.data_files.empty()) fmt::print("  its weights lie in another graph's file\n");
  }
  fmt::print("files:\n");
  std::size_t width = 0;
  for (const ExportedFile& file : report.files) width = std::max(width, file.name.size());
  for (const ExportedFile& file : report.files)
    fmt::print("  {:<{}}  {:>14} bytes  {}\n", file.name, width, file.bytes, file.contents);
  fmt::print("  {:<{}}  {:>14} bytes  ({})\n", "total", width, report.total_bytes, human_bytes(report.total_bytes));
  fmt::print("reads {} of weights; about {} of memory; {} free on the disk{}\n", human_bytes(report.checkpoint_bytes),
             human_bytes(report.memory_bytes), human_bytes(report.free_disk_bytes),
             report.free_disk_bytes < report.total_bytes ? ", which is NOT enough" : "");
}

}  // namespace

int plan_command(int argc, char** argv) {
  CLI::App app(kPlanDescription, "qwen3vl-export plan");
  ExportRequest request;
  bool json = false;
  LogOptions log;
  app.add_option("checkpoint", request.checkpoint, "Folder with config.json and *.safetensors")
      ->type_name("CHECKPOINT")
      ->required();
  app.add_option("-o,--output", request.output, "Folder that the export would write: whose disk is looked at")
      ->type_name("DIR");
  add_package_options(app, request);
  app.add_flag("--json", json, "Print the plan as JSON");
  add_log_options(app, log);
  if (const auto code = parse(app, argc, argv)) return *code;

  log.quiet = log.quiet || json;
  Console console("plan", log);
  const PlanReport report = plan_package(request, console.observer());
  if (json)
    fmt::print("{}\n", to_json(report).dump(2));
  else
    print(report);
  console.done(0);
  return 0;
}

}  // namespace q3vl
