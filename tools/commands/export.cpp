#include <fmt/format.h>
#include <spdlog/version.h>

#include <csignal>
#include <nlohmann/json.hpp>

#include "commands/command.h"
#include "commands/console.h"

namespace q3vl {
namespace {

constexpr const char* kExportDescription =
    "Turns a Qwen3-VL checkpoint (Hugging Face safetensors) into an ONNX package: visual tower, embedding and text\n"
    "decoder, with the files that onnxruntime-genai and Transformers.js need to load the folder as it is. A plain\n"
    "Qwen3 language model becomes a text-only package.";

std::string footer() {
  std::string text =
      "Commands (each with its own --help):\n"
      "  qwen3vl-export inspect CHECKPOINT|PACKAGE    what it is made of, and what is wrong with it\n"
      "  qwen3vl-export plan CHECKPOINT               what would be written, to the byte\n"
      "  qwen3vl-export extract CHECKPOINT -o DIR --module language_model|visual\n"
      "                                               one module as a checkpoint of its own\n"
      "  qwen3vl-export verify PACKAGE --checkpoint C the package proven against its checkpoint\n"
      "  qwen3vl-export check PACKAGE                 that every file is as it was written, and clients load it\n"
      "  qwen3vl-export run PACKAGE --image FILE --prompt TEXT\n"
      "                                               an answer to a question about pictures\n"
      "  qwen3vl-export bench PACKAGE [AGAINST]       how fast it runs here, and against another package\n"
      "\nRecipes:\n";
  for (const auto& [name, description] : builtin_recipes()) text += fmt::format("  {:<28}{}\n", name, description);
  return text +
         "\nExamples:\n"
         "  qwen3vl-export ./Qwen3-VL-4B-Instruct -o ./out\n"
         "  qwen3vl-export ./Qwen3-VL-4B-Instruct -o ./full --recipe fp32\n"
         "  qwen3vl-export ./Qwen3-VL-4B-Instruct -o ./text --components text\n"
         "\nExit codes: 0 done, 1 internal error, 2 wrong usage, 3 damaged or incomplete checkpoint, 4 unsupported "
         "model,\n"
         "5 the package cannot be written, 6 verify or check found a difference, 130 interrupted. After an error\n"
         "nothing is left behind.\n";
}

std::string version_text() {
  std::string text;
  auto list = versions();
  list.emplace_back("nlohmann_json", fmt::format("{}.{}.{}", NLOHMANN_JSON_VERSION_MAJOR, NLOHMANN_JSON_VERSION_MINOR,
                                                 NLOHMANN_JSON_VERSION_PATCH));
  list.emplace_back("fmt", fmt::format("{}.{}.{}", FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100));
  list.emplace_back("spdlog", fmt::format("{}.{}.{}", SPDLOG_VER_MAJOR, SPDLOG_VER_MINOR, SPDLOG_VER_PATCH));
  list.emplace_back("CLI11", CLI11_VERSION);
  for (const auto& [name, version] : list) text += fmt::format("{} {}\n", name, version);
  text.pop_back();
  return text;
}

}  // namespace

int export_command(int argc, char** argv) {
  CLI::App app(kExportDescription, "qwen3vl-export");
  app.footer(footer());
  app.set_version_flag("--version", version_text, "Versions of this program and its libraries");
  ExportRequest request;
  LogOptions log;
  app.add_option("checkpoint", request.checkpoint, "Folder with config.json and *.safetensors")
      ->type_name("CHECKPOINT");
  app.add_option("-o,--output", request.output, "Folder to write; must be empty or not exist")->type_name("DIR");
  app.add_flag("--force", request.force, "Replace what this program wrote to the output folder before");
  add_package_options(app, request);
  add_log_options(app, log);
  if (const auto code = parse(app, argc, argv)) return *code;
  // Not CLI11's required(): its message would come before that of an unknown option.
  if (request.checkpoint.empty())
    throw Error(ErrorKind::usage, "a checkpoint folder is missing; see qwen3vl-export --help");
  if (request.output.empty())
    throw Error(ErrorKind::usage, "the output folder is missing: -o DIR; see qwen3vl-export --help");

  Console console("export", log);
  const ExportReport report = export_package(request, console.observer());
  console.report(report, request.output);
  return 0;
}

}  // namespace q3vl
