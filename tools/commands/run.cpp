#include "qwen3vl_export/run.h"

#include <fmt/format.h>
#include <cerrno>
#include <cstdio>
#include <iostream>
#include <iterator>
#include <system_error>

#include "commands/command.h"
#include "commands/console.h"

namespace q3vl {
namespace {

constexpr const char* kRunDescription =
    "Answers a question about pictures and videos by a package, in ONNX Runtime: the whole way in this program, from\n"
    "picture files and text to text. The answer goes to standard output while it is made, what it took to standard "
    "error.";

nlohmann::ordered_json to_json(const RunReport& report) {
  return {{"answer", report.answer},
          {"tokens", report.tokens},
          {"finish_reason", report.finish_reason},
          {"prompt_tokens", report.prompt_tokens},
          {"picture_tokens", report.picture_tokens},
          {"load_seconds", report.load_seconds},
          {"vision_seconds", report.vision_seconds},
          {"first_token_seconds", report.first_token_seconds},
          {"decode_seconds", report.decode_seconds},
          {"tokens_per_second", report.tokens_per_second()},
          {"peak_memory_bytes", report.peak_memory_bytes}};
}

/// "27 tokens (stop), 12.3 tokens a second; …"
std::string summary(const RunReport& report) {
  std::string text = fmt::format("{} tokens ({})", report.tokens.size(), report.finish_reason);
  if (report.tokens.size() > 1) text += fmt::format(", {:.1f} a second", report.tokens_per_second());
  text += fmt::format("; first token after {:.2f} s", report.first_token_seconds);
  if (report.vision_seconds > 0) text += fmt::format(", {:.2f} s of it for the pictures", report.vision_seconds);
  return text + fmt::format("; prompt of {} tokens, {} of pictures; loaded in {:.2f} s, peak memory {}",
                            report.prompt_tokens, report.picture_tokens, report.load_seconds,
                            human_bytes(report.peak_memory_bytes));
}

/// At once, for who reads along. There is nobody to go on for when it cannot be written.
void write_answer(const std::string& text) {
  if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0) return;
  throw Error(ErrorKind::output,
              fmt::format("standard output: cannot be written: {}", std::generic_category().message(errno)));
}

std::string read_standard_input() {
  return {std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
}

}  // namespace

int run_command(int argc, char** argv) {
  CLI::App app(kRunDescription, "qwen3vl-export run");
  RunRequest request;
  bool json = false;
  LogOptions log;
  app.add_option("package", request.package, "Folder that an export wrote")->type_name("PACKAGE")->required();
  app.add_option("--prompt", request.prompt, "The question; - reads it from standard input")
      ->type_name("TEXT")
      ->required();
  app.add_option("--image", request.images, "A picture, PNG or JPEG, before the question; may be repeated")
      ->take_all()
      ->allow_extra_args(false)
      ->type_name("FILE");
  app.add_option("--video", request.videos,
                 "A folder with a video's frames as pictures, in the order of their names; may be repeated")
      ->take_all()
      ->allow_extra_args(false)
      ->type_name("DIR");
  app.add_option("--fps", request.fps, "Frames a second of the videos")
      ->check(CLI::Range(0.001, 1000.0, "POSITIVE"))
      ->capture_default_str()
      ->type_name("N");
  app.add_option("--system", request.system, "What the system says before the question")->type_name("TEXT");
  app.add_flag("--raw", request.raw,
               "The prompt is whole: no chat template, and <|vision_start|><|image_pad|><|vision_end|> in it for each "
               "picture");
  app.add_option("--max-new-tokens", request.max_new_tokens, "Longest answer (what search.max_length leaves room for)")
      ->check(CLI::PositiveNumber)
      ->type_name("TOKENS");
  app.add_flag("--greedy", request.greedy, "Take the likeliest token each time, whatever genai_config.json says");
  app.add_option("--temperature", request.temperature, "Sample: 0 is greedy, 1 as the model thinks, above it wilder")
      ->check(CLI::Range(0.0, 100.0, "NONNEGATIVE"))
      ->type_name("T");
  app.add_option("--top-k", request.top_k, "Sample from the K likeliest tokens; 0: from all")
      ->check(CLI::NonNegativeNumber)
      ->type_name("K");
  app.add_option("--top-p", request.top_p, "Sample from the likeliest tokens whose chances add up to P")
      ->check(CLI::Range(0.0, 1.0, "SHARE"))
      ->type_name("P");
  app.add_option("--seed", request.seed, "Of sampling: the same seed, the same answer")
      ->capture_default_str()
      ->type_name("N");
  app.add_option("--cache", request.cache, "How keys and values are kept (as genai_config.json says)")
      ->type_name("shared|growing");
  app.add_option("--vision-runtime", request.vision_runtime,
                 "What runs the visual tower; libtorch takes it from the checkpoint, to compare")
      ->capture_default_str()
      ->type_name("onnxruntime|libtorch");
  app.add_option("--checkpoint", request.checkpoint, "The checkpoint for --vision-runtime libtorch")->type_name("DIR");
  app.add_option("--threads", request.threads, "Threads of the operators (one a physical core)")
      ->check(CLI::PositiveNumber)
      ->type_name("N");
  app.add_option("--onnxruntime", request.onnxruntime,
                 "The libonnxruntime.so to run it in (Q3VL_ONNXRUNTIME_LIBRARY, or the one installed)")
      ->type_name("FILE");
  app.add_flag("--json", json, "Print the answer, its tokens and what it took as JSON, when it is complete");
  add_log_options(app, log);
  if (const auto code = parse(app, argc, argv)) return *code;
  if (request.prompt == "-") request.prompt = read_standard_input();

  Console console("run", log);
  const ExportObserver observer = console.observer();
  const RunReport report = run_package(
      request,
      [&](const std::string& text) {
        if (!json) write_answer(text);
      },
      observer);
  write_answer((json ? to_json(report).dump(2, ' ', /*ensure_ascii=*/false) : "") + "\n");
  observer.info(summary(report));
  console.done(0);
  return 0;
}

}  // namespace q3vl
