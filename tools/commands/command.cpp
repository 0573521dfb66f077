#include "commands/command.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace q3vl {
namespace {

/// "2.3GB", "900MiB", "3000000000": a number of bytes, in units of thousands, or of 1024 with an i.
std::uint64_t parse_size(const std::string& flag, const std::string& text) {
  constexpr std::array<std::pair<std::string_view, double>, 9> kUnits = {{{"", 1},
                                                                          {"B", 1},
                                                                          {"kB", 1e3},
                                                                          {"MB", 1e6},
                                                                          {"GB", 1e9},
                                                                          {"KiB", 0x1p10},
                                                                          {"MiB", 0x1p20},
                                                                          {"GiB", 0x1p30},
                                                                          {"TB", 1e12}}};
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  const auto* const found = std::ranges::find(kUnits, unit, &std::pair<std::string_view, double>::first);
  constexpr double kMost = 1e18;
  if (error != std::errc() || found == kUnits.end() || !(number > 0) || number * found->second > kMost)
    throw Error(ErrorKind::usage,
                fmt::format("{} is \"{}\", expected a number of bytes, as in 2.3GB, 900MiB or 3000000000", flag, text));
  return static_cast<std::uint64_t>(number * found->second);
}

}  // namespace

std::optional<int> parse(CLI::App& app, int argc, char** argv) {
  app.get_formatter()->column_width(30);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {
    return app.exit(success);
  } catch (const CLI::ParseError& error) {
    throw Error(ErrorKind::usage, fmt::format("{}; see {} --help", error.what(), app.get_name()));
  }
  return std::nullopt;
}

void add_package_options(CLI::App& app, ExportRequest& request) {
  app.add_option("--recipe", request.recipe, "A recipe's name, the path of a recipe file, or a package's manifest.json")
      ->type_name("RECIPE|FILE")
      ->capture_default_str();
  app.add_option("--target", request.target, "What the package is for")->type_name("cpu");
  constexpr const char* kSpec = "int4|int8|int2|fp16|fp32|SPEC";
  app.add_option("--text", request.text, "Weights of the text decoder: SPEC has more words, int4-block64-grid-asym")
      ->type_name(kSpec);
  app.add_option("--vision", request.vision,
                 "The visual tower: weights as fp32 or fp16, or int8 weights times int8 activations")
      ->type_name("fp32|fp16|int8");
  app.add_option("--embedding", request.embedding, "Weights of the token embedding, as --text")->type_name(kSpec);
  app.add_option("--tensor", request.tensors,
                 "Weights of one role, in some layers (0..3,-1: -1 is the last): mlp_down@0..3=int8; may be repeated")
      ->type_name("ROLE[@LAYERS]=SPEC")
      ->take_all()
      ->allow_extra_args(false);
  app.add_option("--importance", request.importance, "Where quantisers learn which columns matter")
      ->type_name("none|weights|calibration");
  app.add_option_function<std::string>(
         "--target-size",
         [&request](const std::string& size) { request.target_size = parse_size("--target-size", size); },
         "The most that the package may take: bits go where they save the most error a byte")
      ->type_name("SIZE");
  app.add_option(
         "--calibrate", request.calibrate,
         "Run the token files and pictures of a folder through the model first; the same bytes on any threads of "
         "one machine (docs/CALIBRATION.md)")
      ->type_name("DIR");
  app.add_option("--calibration", request.calibration,
                 "What a calibration found: read, or written by --calibrate (OUTPUT.calibration)")
      ->type_name("FILE");
  app.add_option("--block-size", request.block_size, "Weights that share a scale in all that is quantised")
      ->check(CLI::PositiveNumber)
      ->type_name("16|32|64|128|256");
  app.add_option("--logits", request.logits, "Positions whose logits the decoder returns")->type_name("last|all");
  app.add_option("--kv-cache", request.kv_cache, "What keys and values of past tokens are kept as")
      ->type_name("float|int8");
  app.add_option("--components", request.components,
                 "What to write (all that the checkpoint has); text alone makes a text-only package")
      ->delimiter(',')
      ->type_name("vision,embedding,text");
  app.add_option("--layout", request.layout,
                 "Who loads it: onnxruntime-genai and Transformers.js in Node, the former alone, or browsers too "
                 "(universal, or genai for what Transformers.js cannot run)")
      ->type_name("universal|genai|transformers-js");
  app.add_option("--max-length", request.max_length,
                 "Tokens of prompt and answer for which clients reserve memory (8192, or the model's context)")
      ->check(CLI::PositiveNumber)
      ->type_name("TOKENS");
  app.add_option("--max-pixels", request.max_pixels,
                 "Larger pictures are scaled down to this many pixels (1003520, or the checkpoint's limit)")
      ->check(CLI::PositiveNumber)
      ->type_name("PIXELS");
  app.add_flag("--allow-unused", request.allow_unused, "Accept tensors that are not part of the model");
  app.add_flag("--allow-nonfinite", request.allow_nonfinite,
               "Accept weights that are NaN or infinite: kept in floating-point types, 0 where they are quantised");
  app.add_option("--threads", request.threads,
                 "Threads that encode weights (one a processor, at most 16); the bytes are the same")
      ->check(CLI::PositiveNumber)
      ->type_name("N");
}

void add_log_options(CLI::App& app, LogOptions& options) {
  CLI::Option* loud = app.add_flag("-v,--verbose", options.verbose, "Tell more");
  app.add_flag("-q,--quiet", options.quiet, "Tell errors only")->excludes(loud);
  app.add_option_function<std::string>(
         "--log-format",
         [&options](const std::string& format) {
           if (format != "text" && format != "json")
             throw Error(ErrorKind::usage, fmt::format("--log-format is \"{}\", expected text or json", format));
           options.format = format == "json" ? LogFormat::json : LogFormat::text;
         },
         "Messages on standard error: json is an object a line (docs/CI.md)")
      ->type_name("text|json");
}

}  // namespace q3vl
