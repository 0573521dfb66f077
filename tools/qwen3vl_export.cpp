// The command line: parses, calls the library, turns errors into one sentence and an exit code.
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <spdlog/version.h>
#include <nlohmann/json.hpp>

#include <CLI/CLI.hpp>
#include <csignal>
#include <iostream>

#include "console.h"
#include "qwen3vl_export/export.h"

namespace {

using q3vl::ErrorKind;

constexpr const char* kDescription =
    "Turns a Qwen3-VL checkpoint (Hugging Face safetensors) into an ONNX package: vision.onnx, embedding.onnx and\n"
    "model.onnx, with the configs that onnxruntime-genai needs to load the folder as it is.";

std::string footer() {
  std::string text = "Recipes:\n";
  for (const auto& [name, description] : q3vl::builtin_recipes())
    text += fmt::format("  {:<28}{}\n", name, description);
  return text +
         "\nExamples:\n"
         "  qwen3vl-export ./Qwen3-VL-4B-Instruct -o ./out\n"
         "  qwen3vl-export ./Qwen3-VL-4B-Instruct -o ./out --recipe fp32\n"
         "  qwen3vl-export ./Qwen3-VL-4B-Instruct -o ./text --components text\n"
         "\nExit codes: 0 done, 1 internal error, 2 wrong usage, 3 damaged or incomplete checkpoint, 4 unsupported "
         "model,\n"
         "5 the package cannot be written, 130 interrupted. After an error nothing is left behind.\n";
}

std::string version_text() {
  std::string text;
  auto list = q3vl::versions();
  list.emplace_back("nlohmann_json", fmt::format("{}.{}.{}", NLOHMANN_JSON_VERSION_MAJOR, NLOHMANN_JSON_VERSION_MINOR,
                                                 NLOHMANN_JSON_VERSION_PATCH));
  list.emplace_back("fmt", fmt::format("{}.{}.{}", FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100));
  list.emplace_back("spdlog", fmt::format("{}.{}.{}", SPDLOG_VER_MAJOR, SPDLOG_VER_MINOR, SPDLOG_VER_PATCH));
  list.emplace_back("CLI11", CLI11_VERSION);
  for (const auto& [name, version] : list) text += fmt::format("{} {}\n", name, version);
  text.pop_back();
  return text;
}

extern "C" void on_signal(int) {
  q3vl::request_interrupt();
}

/// The options of an export, in the order of --help.
void add_export_options(CLI::App& app, q3vl::ExportRequest& request, bool& verbose, bool& quiet) {
  app.add_option("checkpoint", request.checkpoint, "Folder with config.json and *.safetensors")
      ->type_name("CHECKPOINT");
  app.add_option("-o,--output", request.output, "Folder to write; must be empty or not exist")->type_name("DIR");
  app.add_flag("--force", request.force, "Replace a package that is already in the output folder");
  app.add_option("--recipe", request.recipe, "A recipe below, or the path of a recipe file")
      ->type_name("NAME|FILE")
      ->capture_default_str();
  app.add_option("--target", request.target, "What the package is for: cpu")->type_name("TARGET");
  app.add_option("--text", request.text, "Weights of the text decoder: int4, int8, fp16, fp32")->type_name("PRECISION");
  app.add_option("--vision", request.vision, "Weights of the visual tower: fp32, fp16")->type_name("PRECISION");
  app.add_option("--embedding", request.embedding, "Weights of the token embedding: int4, int8, fp16, fp32")
      ->type_name("PRECISION");
  app.add_option("--block-size", request.block_size,
                 "Weights that share a scale in int4 and int8: 16, 32, 64, 128, 256")
      ->check(CLI::PositiveNumber)
      ->type_name("N");
  app.add_option("--logits", request.logits, "Positions whose logits the decoder returns: last, all")
      ->type_name("WHICH");
  app.add_option("--components", request.components,
                 "What to write, of vision,embedding,text; text alone makes a text-only package")
      ->delimiter(',')
      ->type_name("LIST");
  app.add_option("--max-length", request.max_length,
                 "Tokens of prompt and answer for which clients reserve memory (8192, or the model's context)")
      ->check(CLI::PositiveNumber)
      ->type_name("TOKENS");
  app.add_option("--max-pixels", request.max_pixels,
                 "Larger pictures are scaled down to this many pixels (1003520, or the checkpoint's limit)")
      ->check(CLI::PositiveNumber)
      ->type_name("PIXELS");
  app.add_flag("--allow-unused", request.allow_unused, "Accept tensors that are not part of the model");
  app.add_option("--threads", request.threads, "Threads that encode weights (one a processor); the bytes are the same")
      ->check(CLI::PositiveNumber)
      ->type_name("N");
  CLI::Option* loud = app.add_flag("-v,--verbose", verbose, "Tell more");
  app.add_flag("-q,--quiet", quiet, "Tell errors only")->excludes(loud);
}

int fail(const std::string& message, ErrorKind kind) {
  fmt::print(stderr, "qwen3vl-export: {}\n", message);
  return static_cast<int>(kind);
}

int run(int argc, char** argv) {
  CLI::App app(kDescription, "qwen3vl-export");
  app.footer(footer());
  app.set_version_flag("--version", version_text, "Versions of this program and its libraries");
  app.get_formatter()->column_width(30);
  q3vl::ExportRequest request;
  bool verbose = false;
  bool quiet = false;
  add_export_options(app, request, verbose, quiet);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    return fail(fmt::format("{}; see qwen3vl-export --help", error.what()), ErrorKind::usage);
  }
  if (request.checkpoint.empty())
    return fail("a checkpoint folder is missing; see qwen3vl-export --help", ErrorKind::usage);
  if (request.output.empty())
    return fail("the output folder is missing: -o DIR; see qwen3vl-export --help", ErrorKind::usage);

  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
  q3vl::Console console(quiet ? q3vl::Verbosity::quiet : verbose ? q3vl::Verbosity::verbose : q3vl::Verbosity::normal);
  const q3vl::ExportReport report = q3vl::export_package(request, console.observer());
  console.print_report(report, request.output.string());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const q3vl::Error& error) {
    return fail(error.what(), error.kind());
  } catch (const std::bad_alloc&) {
    return fail("not enough memory", ErrorKind::internal);
  } catch (const std::exception& error) {
    return fail(fmt::format("internal error: {}", error.what()), ErrorKind::internal);
  }
}
