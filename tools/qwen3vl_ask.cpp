// Asks a package questions about pictures and clips, on the way of `qwen3vl-export run`, and holds prompts and answers
// against those that Hugging Face recorded.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <limits>

#include "base/json.h"
#include "image/model_image.h"
#include "runtime/pipeline.h"
#include "runtime/prompter.h"

namespace {

using namespace q3vl;

/// Below this gap between the best and the second logit a different answer says little.
constexpr double kClearMargin = 0.1;

struct Options {
  std::filesystem::path package, questions;
  std::size_t limit = 0;
  std::int64_t max_new_tokens = 64;
  double require = 0;
  std::filesystem::path onnxruntime = OnnxRuntime::default_library();
};

/// What one question asks, and what Hugging Face made and answered of it in float32.
struct RecordedQuestion {
  std::vector<std::string> files;
  std::string expected;
  Question question;
  std::vector<std::int64_t> input_ids;
  std::vector<std::int64_t> answer_ids;
  double margin;
};

/// `item` is an entry of `questions` ("images", one picture each) or of `videos` ("frames" of one clip, and "fps").
RecordedQuestion read_question(const JsonObject& item, const std::filesystem::path& folder,
                               const PictureConfig& pictures) {
  constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
  const bool video = item.has("frames");
  RecordedQuestion recorded{.files = item.json().at(video ? "frames" : "images").get<std::vector<std::string>>(),
                            .expected = item.string("expected"),
                            .question = {.text = item.string("question")},
                            .input_ids = item.integers("input_ids", 0, most),
                            .answer_ids = item.integers("hf_fp32_ids", 0, most),
                            .margin = item.number("hf_fp32_min_margin", 0, 1e6)};
  std::vector<std::filesystem::path> paths;
  for (const std::string& file : recorded.files) paths.push_back(folder / file);
  if (video) {
    recorded.question.clips = {{read_model_clip(paths, pictures.video), item.number("fps", 0.001, 1000)}};
  } else {
    for (const std::filesystem::path& path : paths)
      recorded.question.images.push_back(read_model_image(path, pictures.image, pictures.image.max_pixels));
  }
  return recorded;
}

int run(const Options& options) {
  const OnnxRuntime runtime(options.onnxruntime);
  const Pipeline pipeline(runtime, options.package);
  if (pipeline.text_only()) throw Error(ErrorKind::usage, "a text-only package sees no pictures");
  const Prompter prompter(options.package, pipeline.config());
  const Json document = read_json_file(options.questions, kDataJson);
  std::vector<JsonObject> items;
  for (const char* list : {"questions", "videos"}) {
    if (!document.contains(list)) continue;
    for (const Json& item : document.at(list)) items.emplace_back(item, options.questions.string(), list);
  }
  if (options.limit > 0 && items.size() > options.limit)
    items.erase(items.begin() + static_cast<std::ptrdiff_t>(options.limit), items.end());

  std::size_t equal = 0, clear = 0, clear_equal = 0;
  for (const JsonObject& item : items) {
    const RecordedQuestion recorded = read_question(item, options.questions.parent_path(), *pipeline.config().pictures);
    const Prompt prompt = prompter.prompt(recorded.question);
    if (prompt.input_ids != recorded.input_ids) {
      fmt::print(stderr, "qwen3vl-ask: \"{}\": the prompt's token ids are not those that Hugging Face recorded\n",
                 recorded.question.text);
      return static_cast<int>(ErrorKind::verification);
    }
    const Generation generation = pipeline.generate(prompt, {.max_new_tokens = options.max_new_tokens});
    const bool same = generation.tokens == recorded.answer_ids;
    const bool is_clear = recorded.margin > kClearMargin;
    equal += same;
    clear += is_clear;
    clear_equal += same && is_clear;
    fmt::print("{}\n  {}\n  answer:       {}\n  Hugging Face: {}  {}{}\n  right answer: {}\n",
               fmt::join(recorded.files, ", "), recorded.question.text,
               prompter.tokenizer().decode(generation.tokens, true),
               prompter.tokenizer().decode(recorded.answer_ids, true), same ? "[equal]" : "[DIFFERENT]",
               is_clear ? "" : " (a close call there)", recorded.expected);
  }
  fmt::print("answers equal to Hugging Face's: {} of {}\n", equal, items.size());
  const double share = clear == 0 ? 1.0 : static_cast<double>(clear_equal) / static_cast<double>(clear);
  if (share >= options.require) return 0;
  fmt::print(stderr, "qwen3vl-ask: {} of the {} answers that are no close call are equal, required is a share of {}\n",
             clear_equal, clear, options.require);
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Runs a package on questions about pictures, greedily, and compares with the answers recorded of Hugging Face.",
      "qwen3vl-ask");
  Options options;
  app.add_option("package", options.package, "Folder with genai_config.json")->required()->type_name("PACKAGE");
  app.add_option("questions", options.questions, "Questions with their token ids; pictures beside it")
      ->required()
      ->type_name("QUESTIONS.json");
  app.add_option("--limit", options.limit, "Ask the first N only")->type_name("N");
  app.add_option("--max-new-tokens", options.max_new_tokens, "Longest answer, in tokens")->capture_default_str();
  app.add_option("--require", options.require,
                 "Fail when fewer answers than this share are equal, among those with a margin above 0.1")
      ->check(CLI::Range(0.0, 1.0))
      ->type_name("SHARE");
  app.add_option("--onnxruntime", options.onnxruntime, "ONNX Runtime's shared library")->type_name("FILE");
  CLI11_PARSE(app, argc, argv);
  try {
    return run(options);
  } catch (const Error& error) {
    fmt::print(stderr, "qwen3vl-ask: {}\n", error.what());
    return error.exit_code();
  } catch (const std::exception& error) {
    fmt::print(stderr, "qwen3vl-ask: {}\n", error.what());
    return static_cast<int>(ErrorKind::internal);
  }
}
