#include "qwen3vl_export/extract.h"

#include "commands/command.h"
#include "commands/console.h"

namespace q3vl {
namespace {

constexpr const char* kExtractDescription =
    "Takes one module out of a Qwen3-VL checkpoint, as a checkpoint of its own: language_model becomes a plain Qwen3\n"
    "(Qwen3ForCausalLM), visual the visual tower alone (Qwen3VLVisionModel). The tensors' bytes are the\n"
    "checkpoint's own.";

}  // namespace

int extract_command(int argc, char** argv) {
  CLI::App app(kExtractDescription, "qwen3vl-export extract");
  ExtractRequest request;
  LogOptions log;
  app.add_option("checkpoint", request.checkpoint, "Folder with config.json and *.safetensors")
      ->type_name("CHECKPOINT")
      ->required();
  app.add_option("-o,--output", request.output, "Folder to write; must be empty or not exist")
      ->type_name("DIR")
      ->required();
  app.add_option("--module", request.module, "What to take out")->type_name("language_model|visual")->required();
  app.add_flag("--force", request.force, "Replace what this program wrote to the output folder before");
  app.add_flag("--allow-unused", request.allow_unused, "Leave out tensors that are not part of the model");
  add_log_options(app, log);
  if (const auto code = parse(app, argc, argv)) return *code;

  Console console("extract", log);
  const ExportReport report = extract_module(request, console.observer());
  console.report(report, request.output);
  return 0;
}

}  // namespace q3vl
