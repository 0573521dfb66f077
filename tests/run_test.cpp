// `qwen3vl-export run`: pictures and text in, text out, against what Hugging Face recorded; how tokens are chosen; and
// what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "image/smart_resize.h"
#include "runtime/sampler.h"
#include "support/command.h"
#include "support/refusal.h"
#include "support/temporary_folder.h"

namespace q3vl::run_test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::StartsWith;

using Flags = std::vector<std::string>;

fs::path data(const std::string& name) {
  return fs::path(Q3VL_TEST_DATA_DIR) / name;
}

const fs::path& scratch() {
  static const TemporaryFolder folder;
  return folder.path();
}

/// The package of tests/data/`checkpoint` with `flags`; each is written once.
const fs::path& package(const std::string& checkpoint, const Flags& flags = {"--recipe", "fp32"}) {
  static std::map<std::pair<std::string, Flags>, fs::path> packages;
  const auto [entry, is_new] = packages.try_emplace({checkpoint, flags}, scratch() / std::to_string(packages.size()));
  if (is_new) {
    Flags command = {Q3VL_EXPORT_BINARY, data(checkpoint + "/checkpoint"), "-o", entry->second, "-q"};
    command.insert(command.end(), flags.begin(), flags.end());
    const CommandResult result = run_command(command);
    if (result.exit_code != 0) throw std::runtime_error("the export failed: " + result.err);
  }
  return entry->second;
}

CommandResult run(const fs::path& folder, Flags flags) {
  flags.insert(flags.begin(), {Q3VL_EXPORT_BINARY, "run", folder});
  return run_command(flags);
}

json run_json(const fs::path& folder, Flags flags) {
  flags.insert(flags.end(), {"--json", "-q"});
  const CommandResult result = run(folder, std::move(flags));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  return json::parse(result.out);
}

const json& questions() {
  static const json document = json::parse(read_bytes(data("shapes/questions.json")));
  return document;
}

std::string picture(const json& question, std::size_t index = 0) {
  return data("shapes/" + question.at("images").at(index).get<std::string>());
}

TEST(Run, AnswersAsHuggingFaceDoes) {
  int asked = 0;
  for (const json& question : questions().at("questions")) {
    if (asked == 4) break;
    Flags flags = {"--greedy", "--prompt", question.at("question")};
    for (std::size_t i = 0; i < question.at("images").size(); ++i)
      flags.insert(flags.end(), {"--image", picture(question, i)});
    const json report = run_json(package("shapes"), flags);
    EXPECT_EQ(report.at("tokens"), question.at("hf_fp32_ids")) << question.at("question");
    EXPECT_EQ(report.at("answer"), question.at("hf_fp32_answer"));
    EXPECT_EQ(report.at("finish_reason"), "stop");
    EXPECT_EQ(report.at("prompt_tokens"), question.at("input_ids").size());
    ++asked;
  }
  EXPECT_EQ(asked, 4);
}

/// Against the visual tower in LibTorch, which is held to what Hugging Face recorded (reference_test).
TEST(Run, PicturesOfSeveralSizesInOnePrompt) {
  const auto asked = [](const Flags& pictures, const Flags& more) {
    Flags flags = {"--greedy", "--prompt", "Compare.", "--max-new-tokens", "12"};
    for (const std::string& picture : pictures) flags.insert(flags.end(), {"--image", data("images/" + picture)});
    flags.insert(flags.end(), more.begin(), more.end());
    return run_json(package("tiny-a"), flags);
  };
  const Flags pictures = {"rgb_128x96.png", "exif6_100x60.jpg", "rgb_210x40.png"};
  const json report = asked(pictures, {});
  std::int64_t tokens = 0;
  for (const std::string& picture : pictures) tokens += asked({picture}, {}).at("picture_tokens").get<std::int64_t>();
  EXPECT_EQ(report.at("picture_tokens"), tokens);
  EXPECT_EQ(report.at("tokens"),
            asked(pictures, {"--vision-runtime", "libtorch", "--checkpoint", data("tiny-a/checkpoint")}).at("tokens"));
  EXPECT_NE(report.at("tokens"), asked({pictures[2], pictures[1], pictures[0]}, {}).at("tokens"))
      << "their order counts";
}

TEST(Run, AVideoIsAFolderOfFrames) {
  int asked = 0;
  for (const json& question : questions().at("videos")) {
    const fs::path frames = scratch() / ("frames" + std::to_string(asked++));
    fs::create_directory(frames);
    for (std::size_t i = 0; i < question.at("frames").size(); ++i)
      fs::copy_file(data("shapes/" + question.at("frames").at(i).get<std::string>()),
                    frames / (std::to_string(i) + ".png"));
    const json report = run_json(package("shapes"), {"--greedy", "--prompt", question.at("question"), "--video", frames,
                                                     "--fps", std::to_string(question.at("fps").get<double>())});
    EXPECT_EQ(report.at("tokens"), question.at("hf_fp32_ids")) << question.at("question");
    EXPECT_EQ(report.at("prompt_tokens"), question.at("input_ids").size()) << "the timestamps are in the prompt";
  }
  EXPECT_GT(asked, 0);
}

/// The expected tokens are those that Hugging Face made of the picture by its own processor, tokenizer and template.
TEST(Run, AWholeProcessorsTokensAreEqual) {
  const json recorded = json::parse(read_bytes(data("tiny-a/expected/manifest.json"))).at("cases").at("p4");
  for (const Flags& runtime :
       {Flags{}, Flags{"--vision-runtime", "libtorch", "--checkpoint", data("tiny-a/checkpoint")}})
    for (const char* cache : {"shared", "growing"}) {
      Flags flags = {"--greedy",
                     "--image",
                     data("tiny-a/expected/" + recorded.at("image").get<std::string>()),
                     "--prompt",
                     "What is in this picture?",
                     "--max-new-tokens",
                     "16",
                     "--cache",
                     cache};
      flags.insert(flags.end(), runtime.begin(), runtime.end());
      const json report = run_json(package("tiny-a"), flags);
      EXPECT_EQ(report.at("tokens"), recorded.at("generated").at(0));
      EXPECT_EQ(report.at("finish_reason"), "length");
      EXPECT_EQ(report.at("picture_tokens"), 64);
    }
}

TEST(Run, AWholePromptHasItsOwnPlaceholders) {
  const json question = questions().at("questions").at(0);
  const json report = run_json(package("shapes"),
                               {"--raw", "--greedy", "--prompt", question.at("prompt"), "--image", picture(question)});
  EXPECT_EQ(report.at("tokens"), question.at("hf_fp32_ids"));
}

/// Whatever stale or foreign template lies beside the one that Hugging Face takes, the prompt has the tokens that
/// Hugging Face recorded.
TEST(Run, TheTemplateOfHuggingFacesOrderMakesThePrompt) {
  const fs::path checkpoint = scratch() / "stale";
  fs::copy(data("shapes/checkpoint"), checkpoint);
  std::string crlf;
  for (const char c : json::parse(read_bytes(checkpoint / "chat_template.json")).at("chat_template").get<std::string>())
    crlf += c == '\n' ? "\r\n" : std::string(1, c);
  write_bytes(checkpoint / "chat_template.jinja", crlf);
  const std::string stale =
      "{% for m in messages %}{% for p in m.content if m.content is not string %}{% if p.type == 'image' %}"
      "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ p.text }}{% endif %}{% endfor %}{% endfor %}";
  write_bytes(checkpoint / "chat_template.json", json{{"chat_template", stale}}.dump());
  json settings = json::parse(read_bytes(checkpoint / "tokenizer_config.json"));
  settings["chat_template"] = stale;
  write_bytes(checkpoint / "tokenizer_config.json", settings.dump());
  const fs::path out = scratch() / "settled";
  const CommandResult result = run_command({Q3VL_EXPORT_BINARY, checkpoint, "-o", out, "--recipe", "fp32", "-q"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const json question = questions().at("questions").at(0);
  const Flags flags = {"--greedy", "--prompt", question.at("question"), "--image", picture(question)};
  for (const char* file : {"", "chat_template.jinja", "chat_template.json"}) {
    if (*file != '\0') fs::remove(out / file);  // the next one is as good
    const json report = run_json(out, flags);
    EXPECT_EQ(report.at("prompt_tokens"), question.at("input_ids").size()) << "without " << file;
    EXPECT_EQ(report.at("tokens"), question.at("hf_fp32_ids"));
  }
}

TEST(Run, ATemplateThatFailsIsTheFilesFault) {
  const fs::path copy = scratch() / "hostile";
  fs::copy(package("shapes"), copy, fs::copy_options::recursive);
  const fs::path path = copy / "chat_template.jinja";
  const std::string failed = path.string() + ": the chat template cannot be rendered: ";
  for (const auto& [text, message] : std::vector<std::pair<std::string, std::string>>{
           {"{{ range(100000000) }}", failed + "it takes more than 64 MB of memory"},
           {"{{ 1 % 0 }}", failed + "it divides a whole number by zero, or the least one by -1"},
           {"{% if x",
            path.string() + ": the chat template cannot be read: Expected closing block tag at row 1, column 8"}}) {
    write_bytes(path, text);
    const CommandResult result = run(copy, {"--prompt", "What?", "-q"});
    EXPECT_EQ(result.exit_code, 3);
    EXPECT_EQ(result.err, "qwen3vl-export: " + message + "\n");
    EXPECT_EQ(result.out, "");
  }
  write_bytes(path, "{{ messages[0].content }}");
  const CommandResult warned = run(copy, {"--prompt", "What?", "--greedy", "--max-new-tokens", "1"});
  EXPECT_EQ(warned.exit_code, 0);
  EXPECT_THAT(warned.err,
              HasSubstr("have another chat template than chat_template.jinja; chat_template.jinja is taken"));
}

TEST(Run, TheAnswerAloneGoesToStandardOutput) {
  const json question = questions().at("questions").at(0);
  const CommandResult result =
      run(package("shapes"), {"--greedy", "--prompt", question.at("question"), "--image", picture(question)});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.out, question.at("hf_fp32_answer").get<std::string>() + "\n");
  EXPECT_THAT(result.err, HasSubstr(" tokens (stop), "));
  EXPECT_THAT(result.err, HasSubstr(" a second; first token after "));
  const CommandResult quiet =
      run(package("shapes"), {"-q", "--greedy", "--prompt", question.at("question"), "--image", picture(question)});
  EXPECT_EQ(quiet.out, result.out);
  EXPECT_EQ(quiet.err, "");
}

TEST(Run, AnAnswerThatCannotBeWrittenIsAnError) {
  const CommandResult result = run_command({"/bin/sh", "-c", "\"$1\" run \"$2\" --prompt What? --greedy -q >/dev/full",
                                            "sh", Q3VL_EXPORT_BINARY, package("shapes")});
  EXPECT_EQ(result.exit_code, 5);
  EXPECT_EQ(result.err, "qwen3vl-export: standard output: cannot be written: No space left on device\n");
}

TEST(Run, ThePromptComesFromStandardInputToo) {
  const json question = questions().at("questions").at(0);
  const CommandResult result =
      run_command({"/bin/sh", "-c", "printf %s \"$1\" | \"$2\" run \"$3\" --prompt - --image \"$4\" --greedy -q", "sh",
                   question.at("question"), Q3VL_EXPORT_BINARY, package("shapes"), picture(question)});
  EXPECT_EQ(result.out, question.at("hf_fp32_answer").get<std::string>() + "\n") << result.err;
}

TEST(Run, TheSameSeedGivesTheSameAnswer) {
  const Flags flags = {"--prompt", "Tell me more.", "--temperature", "3", "--max-new-tokens", "24"};
  const auto tokens = [&](const char* seed) {
    Flags all = flags;
    all.insert(all.end(), {"--seed", seed});
    return run_json(package("shapes"), all).at("tokens");
  };
  EXPECT_EQ(tokens("1"), tokens("1"));
  EXPECT_NE(tokens("1"), tokens("2"));
}

TEST(Run, GenaisConfigSaysHowTokensAreChosen) {
  const fs::path copy = scratch() / "greedy";
  fs::copy(package("shapes"), copy, fs::copy_options::recursive);
  json config = json::parse(read_bytes(copy / "genai_config.json"));
  ASSERT_EQ(config.at("search").at("do_sample"), true);
  config["search"].update({{"temperature", 5.0}, {"top_k", 0}, {"top_p", 1.0}});
  write_bytes(copy / "genai_config.json", config.dump());
  const Flags flags = {"--prompt", "Tell me more.", "--max-new-tokens", "24", "--seed", "5"};
  Flags greedy = flags;
  greedy.emplace_back("--greedy");
  const json chosen = run_json(package("shapes"), greedy).at("tokens");
  EXPECT_NE(run_json(copy, flags).at("tokens"), chosen);
  config["search"]["do_sample"] = false;
  write_bytes(copy / "genai_config.json", config.dump());
  EXPECT_EQ(run_json(copy, flags).at("tokens"), chosen);
}

TEST(Run, ATextOnlyPackageAnswersTexts) {
  const fs::path& text = package("shapes", {"--recipe", "fp32", "--components", "text"});
  const Flags flags = {"--greedy", "--prompt", "What is a file?", "--max-new-tokens", "12"};
  EXPECT_EQ(run_json(text, flags).at("tokens"), run_json(package("shapes"), flags).at("tokens"));
  const CommandResult refused = run(text, {"--prompt", "What?", "--image", picture(questions().at("questions").at(0))});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_EQ(refused.err, "qwen3vl-export: " + text.string() + ": is a text-only package, which sees no pictures\n");
}

TEST(Run, EveryRecipeAndLayoutRuns) {
  const json question = questions().at("questions").at(0);
  for (const Flags& flags :
       {Flags{"--recipe", "int4", "--layout", "genai"}, Flags{"--recipe", "int4"},
        Flags{"--recipe", "int4", "--layout", "transformers-js"}, Flags{"--recipe", "w8a8", "--kv-cache", "int8"}}) {
    const json report = run_json(package("shapes", flags),
                                 {"--greedy", "--prompt", question.at("question"), "--image", picture(question)});
    EXPECT_EQ(report.at("answer"), question.at("hf_fp32_answer")) << testing::PrintToString(flags);
  }
}

/// Arguments behind a package, the exit code and the message.
struct Refusal {
  Flags flags;
  int code;
  std::string message;
};

TEST(Run, RefusalsSayWhatIsWrong) {
  const fs::path empty = scratch() / "empty";
  fs::create_directories(empty);
  const fs::path mixed = scratch() / "mixed";
  fs::create_directories(mixed);
  fs::copy_file(data("images/rgb_128x96.png"), mixed / "1.png", fs::copy_options::overwrite_existing);
  fs::copy_file(data("images/rgb_80x80.png"), mixed / "2.png", fs::copy_options::overwrite_existing);
  const std::string image = data("images/rgb_80x80.png");
  const Flags ask = {"--prompt", "What?"};
  for (const Refusal& refusal : std::vector<Refusal>{
           {{}, 2, "--prompt is required; see qwen3vl-export run --help"},
           {{"--prompt", "What?", "--image", scratch() / "none.png"},
            3,
            (scratch() / "none.png").string() + ": cannot open: No such file or directory"},
           {{"--prompt", "What?", "--image", data("shapes/questions.json")},
            3,
            data("shapes/questions.json").string() +
                ": begins with the bytes 7b 22 71 75 65 73 74 69, expected a PNG or JPEG picture; convert it to one of "
                "them"},
           {{"--prompt", "What?", "--video", image},
            3,
            image + ": is not a folder; expected one with the frames of a video as PNG or JPEG files, in the order of "
                    "their names (ffmpeg -i video.mp4 -vf fps=2 frames/%05d.png makes one)"},
           {{"--prompt", "What?", "--video", empty}, 3, empty.string() + ": has no frames"},
           {{"--prompt", "What?", "--video", mixed},
            3,
            (mixed / "2.png").string() +
                ": the frame is 80×80 pixels (width × height), expected 128×96 as the first of the clip"},
           {{"--prompt", "What?", "--greedy", "--top-k", "3"},
            2,
            "--greedy takes the likeliest token; --temperature, --top-k and --top-p do not fit it"},
           {{"--prompt", "What?", "--raw", "--system", "Be kind."},
            2,
            "--raw takes the prompt as it is; --system does not fit it"},
           {{"--prompt", "What?", "--raw", "--image", image},
            2,
            "the prompt has <|image_pad|> 0 times, expected 1, as many as pictures are given; a whole prompt has "
            "<|vision_start|><|image_pad|><|vision_end|> for each"},
           {{"--prompt", "<|image_pad|>", "--image", image},
            2,
            "the prompt has <|image_pad|> 2 times, expected 1, as many as pictures are given; take <|image_pad|> out "
            "of the "
            "text: the chat template puts it in"},
           {{"--prompt", "What?", "--cache", "none"}, 2, "--cache is \"none\", expected shared or growing"},
           {{"--prompt", "What?", "--vision-runtime", "cuda"},
            2,
            "--vision-runtime is \"cuda\", expected onnxruntime or libtorch"},
           {{"--prompt", "What?", "--vision-runtime", "libtorch"},
            2,
            "--vision-runtime libtorch needs the checkpoint whose visual tower it runs: --checkpoint DIR"},
           {{"--prompt", "What?", "--checkpoint", scratch()}, 2, "--checkpoint is for --vision-runtime libtorch alone"},
           {{"--prompt", "What?", "--image", image, "--vision-runtime", "libtorch", "--checkpoint",
             data("tiny-a/checkpoint")},
            3,
            data("tiny-a/checkpoint").string() + ": its features are 512 wide, expected 1024 as " +
                package("shapes").string() + " takes them; it is not the checkpoint that the package was made from"},
       }) {
    const CommandResult result = run(package("shapes"), refusal.flags);
    EXPECT_EQ(result.exit_code, refusal.code) << refusal.message;
    EXPECT_EQ(result.err, "qwen3vl-export: " + refusal.message + "\n");
    EXPECT_EQ(result.out, "");
  }
  EXPECT_EQ(run(empty, ask).err,
            "qwen3vl-export: " + (empty / "genai_config.json").string() + ": cannot open: No such file or directory\n");
}

TEST(Run, APromptThatLeavesNoRoomIsRefused) {
  const fs::path& small = package("shapes", {"--recipe", "fp32", "--max-length", "40"});
  const json question = questions().at("questions").at(0);
  const CommandResult refused = run(small, {"--prompt", question.at("question"), "--image", picture(question)});
  EXPECT_EQ(refused.exit_code, 2);
  EXPECT_EQ(
      refused.err,
      "qwen3vl-export: the prompt has 41 tokens, but search.max_length in genai_config.json leaves room for 40 of "
      "prompt and answer; ask for less, or export with a larger --max-length\n");
  const json report = run_json(package("shapes", {"--recipe", "fp32", "--max-length", "44"}),
                               {"--greedy", "--prompt", question.at("question"), "--image", picture(question)});
  EXPECT_EQ(report.at("tokens").size(), 3U);
  EXPECT_EQ(report.at("finish_reason"), "length");
}

/// A sampler's tokens over many draws, as shares.
std::map<std::int64_t, double> shares(const SamplingSettings& settings, const std::vector<float>& logits,
                                      const std::vector<std::int64_t>& past = {}) {
  constexpr int kDraws = 20'000;
  Sampler sampler(settings, 7);
  std::map<std::int64_t, double> result;
  for (int i = 0; i < kDraws; ++i) result[sampler.choose(logits, past)] += 1.0 / kDraws;
  return result;
}

/// Softmax of logits / temperature over `tokens`, written out.
std::map<std::int64_t, double> softmax(const std::vector<float>& logits, const std::set<std::int64_t>& tokens,
                                       double temperature) {
  double total = 0;
  for (const std::int64_t token : tokens) total += std::exp(logits[static_cast<std::size_t>(token)] / temperature);
  std::map<std::int64_t, double> result;
  for (const std::int64_t token : tokens)
    result[token] = std::exp(logits[static_cast<std::size_t>(token)] / temperature) / total;
  return result;
}

void expect_near(const std::map<std::int64_t, double>& found, const std::map<std::int64_t, double>& expected) {
  constexpr double kTolerance = 0.015;  // four standard deviations of 20,000 draws
  for (const auto& [token, share] : found) EXPECT_TRUE(expected.contains(token)) << token;
  for (const auto& [token, share] : expected) {
    const auto drawn = found.find(token);
    EXPECT_NEAR(drawn == found.end() ? 0 : drawn->second, share, kTolerance) << token;
  }
}

const std::vector<float> kLogits = {0.5F, 2.0F, -1.0F, 1.0F, 2.0F, -3.0F};

TEST(Sampling, WithoutChanceTheLikeliestAndOfEqualOnesTheFirst) {
  Sampler sampler({}, 0);
  EXPECT_EQ(sampler.choose(kLogits, {}), 1);
}

TEST(Sampling, SharesAreThoseOfTheSoftmax) {
  expect_near(shares({.do_sample = true}, kLogits), softmax(kLogits, {0, 1, 2, 3, 4, 5}, 1));
  expect_near(shares({.do_sample = true, .temperature = 0.5}, kLogits), softmax(kLogits, {0, 1, 2, 3, 4, 5}, 0.5));
}

TEST(Sampling, TopKLeavesTheKLikeliest) {
  expect_near(shares({.do_sample = true, .top_k = 3}, kLogits), softmax(kLogits, {1, 3, 4}, 1));
  expect_near(shares({.do_sample = true, .top_k = 1}, kLogits), {{1, 1.0}});
  EXPECT_EQ(shares({.do_sample = true, .top_k = 100}, kLogits), shares({.do_sample = true}, kLogits));
}

TEST(Sampling, TopPLeavesTheLikeliestThatReachIt) {
  // The chances are 0.378, 0.378, 0.139, 0.084, 0.019 and 0.003 from the likeliest on.
  const auto all = softmax(kLogits, {0, 1, 2, 3, 4, 5}, 1);
  ASSERT_NEAR(all.at(1) + all.at(4), 0.755, 0.001);
  expect_near(shares({.do_sample = true, .top_p = 0.75}, kLogits), softmax(kLogits, {1, 4}, 1));
  expect_near(shares({.do_sample = true, .top_p = 0.76}, kLogits), softmax(kLogits, {1, 3, 4}, 1));
  expect_near(shares({.do_sample = true, .top_p = 0.0}, kLogits), {{1, 1.0}});
}

TEST(Sampling, TokensThatOccurredAreLessLikely) {
  Sampler sampler({.repetition_penalty = 3}, 0);
  const std::vector<std::int64_t> past = {1, 4, 1};
  EXPECT_EQ(sampler.choose(kLogits, past), 3) << "2.0 / 3 is below 1.0";
  Sampler negative({.repetition_penalty = 2}, 0);
  EXPECT_EQ(negative.choose(std::vector<float>{-1.0F, -1.5F}, std::vector<std::int64_t>{0}), 1) << "-1 becomes -2";
}

/// Sizes by Hugging Face's formula for clips, computed by hand: factor 32, two frames a step.
TEST(ClipSize, CountsAllFramesTogether) {
  constexpr std::int64_t kMost = 1'048'576;
  const auto size = [](std::int64_t frames, ImageSize from, std::int64_t least, std::int64_t most) {
    return smart_resize_clip(frames, from, 2, 32, least, most);
  };
  EXPECT_EQ(size(4, {.width = 96, .height = 96}, 4096, kMost), (ImageSize{.width = 96, .height = 96}));
  // 100 × 640 × 480 is 29.3 times the limit; √29.3 = 5.41; 640 / 5.41 / 32 = 3.69, 480 / 5.41 / 32 = 2.77.
  EXPECT_EQ(size(100, {.width = 640, .height = 480}, 4096, kMost), (ImageSize{.width = 96, .height = 64}));
  // Three frames count as four for the limit, 4 · 512² = 2²⁰, and as three where it is exceeded: these become larger.
  EXPECT_EQ(size(3, {.width = 512, .height = 512}, 4096, kMost), (ImageSize{.width = 512, .height = 512}));
  EXPECT_EQ(size(3, {.width = 544, .height = 512}, 4096, kMost), (ImageSize{.width = 608, .height = 544}));
  // 2 · 32² is below 65536: √(65536 / 2048) = 5.66 times as wide, 181.02 pixels, rounded up.
  EXPECT_EQ(size(2, {.width = 32, .height = 32}, 65536, kMost), (ImageSize{.width = 192, .height = 192}));
  EXPECT_EQ(refusal(ErrorKind::bad_input, [&] { size(2, {.width = 31, .height = 64}, 4096, kMost); }),
            "the frames are 31×64 pixels (width × height), expected 32 or more on either side");
}

}  // namespace
}  // namespace q3vl::run_test
