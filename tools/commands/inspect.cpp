#include <fmt/format.h>

#include "commands/command.h"
#include "commands/inspect_report.h"

namespace q3vl {
namespace {

constexpr const char* kInspectDescription =
    "Tells what a checkpoint or a package is made of, and what is wrong with it, from headers and small files alone.\n"
    "Of a checkpoint: config, modules, shards, and what does not fit config.json. Of a package: graphs, data files,\n"
    "and what onnxruntime-genai and ONNX Runtime will read.";

constexpr const char* kFooter =
    "Exit codes: 0 nothing is wrong, 3 there are findings (the report is printed all the same) or the folder cannot "
    "be\n"
    "read.\n";

template <typename Report>
int show(const Report& report, bool json, bool tensors) {
  if (json)
    fmt::print("{}\n", to_json(report, tensors).dump(2));
  else
    print(report, tensors);
  return report.findings.empty() ? 0 : static_cast<int>(ErrorKind::bad_input);
}

}  // namespace

int inspect_command(int argc, char** argv) {
  CLI::App app(kInspectDescription, "qwen3vl-export inspect");
  app.footer(kFooter);
  std::filesystem::path folder;
  bool json = false;
  bool tensors = false;
  LogOptions log;
  app.add_option("folder", folder, "Folder with *.safetensors, or with *.onnx")
      ->type_name("CHECKPOINT|PACKAGE")
      ->required();
  app.add_flag("--tensors", tensors, "List every tensor: name, type, shape, file, offset, bytes");
  app.add_flag("--json", json, "Print the report as JSON");
  add_log_options(app, log);
  if (const auto code = parse(app, argc, argv)) return *code;

  Console console("inspect", log);
  const int code = recognize_folder(folder) == FolderKind::package ? show(inspect_package(folder), json, tensors)
                                                                   : show(inspect_checkpoint(folder), json, tensors);
  console.done(code);
  return code;
}

}  // namespace q3vl
