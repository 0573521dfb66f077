// Whole packages: the exporter's binary writes them, ONNX Runtime runs them, and what comes out is held against what
// Hugging Face computed in float32.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>

#include "runtime/pipeline.h"
#include "support/command.h"
#include "support/refusal.h"
#include "support/temporary_folder.h"
#include "support/test_data.h"

namespace q3vl::test::package_test {
namespace {

using testing::HasSubstr;

constexpr double kFeatureTolerance = 2e-5;
constexpr double kLogitTolerance = 1e-4;

const OnnxRuntime& runtime() {
  static const OnnxRuntime instance;
  return instance;
}

/// The package that the exporter makes of tests/data/`checkpoint` with `flags`; each is written once.
const std::filesystem::path& package(const std::string& checkpoint, const std::vector<std::string>& flags) {
  static const TemporaryFolder folder;
  static std::map<std::pair<std::string, std::vector<std::string>>, std::filesystem::path> packages;
  const auto [entry, is_new] = packages.try_emplace({checkpoint, flags}, folder / std::to_string(packages.size()));
  if (is_new) {
    std::vector<std::string> command = {Q3VL_EXPORT_BINARY, data_path(checkpoint + "/checkpoint"), "-o", entry->second,
                                        "--quiet"};
    command.insert(command.end(), flags.begin(), flags.end());
    const CommandResult result = run_command(command);
    if (result.exit_code != 0) throw std::runtime_error("the export failed: " + result.err);
  }
  return entry->second;
}

Pipeline tiny(const std::vector<std::string>& flags) {
  return {runtime(), package("tiny-a", flags)};
}

at::Tensor to_torch(const HostTensor& tensor) {
  return at::tensor(tensor.to_float32()).reshape(tensor.shape);
}

HostTensor integers_of(const Recorded& file, const std::string& name) {
  const at::Tensor tensor = file[name];
  return HostTensor::of(tensor.sizes().vec(), file.integers(name));
}

/// The recorded patches of one picture: `rows` of pixel_values, all when negative.
Patches patches_of(const std::string& name, Grid grid, std::int64_t begin = 0) {
  const at::Tensor all = recorded(name)["pixel_values"];
  const at::Tensor rows = all.slice(0, begin, begin + grid.patches()).contiguous();
  return {std::vector<float>(rows.data_ptr<float>(), rows.data_ptr<float>() + rows.numel()), grid};
}

/// All pictures of v1, v2 or v3.
std::vector<Patches> pictures_of(const std::string& name) {
  std::vector<Patches> pictures;
  std::int64_t begin = 0;
  for (const Grid& grid : recorded(name).grids("grid_thw")) {
    pictures.push_back(patches_of(name, grid, begin));
    begin += grid.patches();
  }
  return pictures;
}

/// The pictures of a text recording (its manifest says which).
std::vector<Patches> pictures_of_text(const std::string& name) {
  if (name == "t6r") return {patches_of("v1", {1, 8, 12}), patches_of("v2", {1, 6, 10})};
  static const std::map<std::string, std::string> sources = {{"t2", "v1"}, {"t3", "v2"}, {"t4", "v3"}, {"t5", "v1"}};
  const auto source = sources.find(name);
  return source == sources.end() ? std::vector<Patches>{} : pictures_of(source->second);
}

/// The logits of a recorded prompt in one call, by the recorded ids, mask and positions: [B, 1 or S, vocab].
at::Tensor prompt_logits(const Pipeline& pipeline, const std::string& name) {
  const Recorded file = recorded(name);
  HostTensor tokens = integers_of(file, "input_ids");
  if (!pipeline.text_only()) tokens = pipeline.embed(tokens, pipeline.encode_images(pictures_of_text(name)));
  KvCache cache = pipeline.decoder().make_cache(CacheMode::growing, tokens.shape[0], 0);
  HostTensor positions = integers_of(file, "position_ids");
  if (pipeline.text_only())  // the three axes of a text are equal
    positions = HostTensor::of(file["input_ids"].sizes().vec(), std::as_const(positions).values<std::int64_t>().first(
                                                                    tokens.bytes.size() / sizeof(std::int64_t)));
  return to_torch(pipeline.decoder().decode(tokens, integers_of(file, "attention_mask"), positions, cache));
}

/// The index of each row's last attended position: [B].
at::Tensor last_attended(const Recorded& file) {
  return file["attention_mask"].sum(1) - 1;
}

class Fp32Package : public testing::TestWithParam<std::string> {};

TEST_P(Fp32Package, VisionFeatures) {
  const Recorded expected = recorded(GetParam());
  const at::Tensor found = to_torch(tiny({"--recipe", "fp32"}).encode_images(pictures_of(GetParam())));
  const at::Tensor merged = expected["image_features"];
  const std::int64_t width = merged.size(1);
  ASSERT_EQ(found.size(1), 4 * width);
  EXPECT_LE(max_difference(found.slice(1, 0, width), merged), kFeatureTolerance);
  for (std::int64_t level = 0; level < 3; ++level) {
    EXPECT_LE(max_difference(found.slice(1, (level + 1) * width, (level + 2) * width),
                             expected["deepstack_" + std::to_string(level)]),
              kFeatureTolerance)
        << "DeepStack level " << level;
  }
}
INSTANTIATE_TEST_SUITE_P(Pictures, Fp32Package, testing::Values("v1", "v2", "v3"));

class Fp32Logits : public testing::TestWithParam<std::string> {};

TEST_P(Fp32Logits, AtEveryAttendedPosition) {
  const Recorded expected = recorded(GetParam());
  const at::Tensor found = prompt_logits(tiny({"--recipe", "fp32", "--logits", "all"}), GetParam());
  const at::Tensor attended = expected["attention_mask"].to(at::kBool);
  ASSERT_EQ(found.sizes(), expected["logits"].sizes());
  EXPECT_LE(max_difference(found.index({attended}), expected["logits"].index({attended})), kLogitTolerance);
}

TEST_P(Fp32Logits, AtTheLastAttendedPosition) {
  const Recorded expected = recorded(GetParam());
  const at::Tensor found = prompt_logits(tiny({"--recipe", "fp32"}), GetParam());
  const at::Tensor last = last_attended(expected);
  ASSERT_EQ(found.size(1), 1);
  for (std::int64_t row = 0; row < found.size(0); ++row) {
    EXPECT_LE(max_difference(found[row][0], expected["logits"][row][last[row].item<std::int64_t>()]), kLogitTolerance)
        << "row " << row;
  }
}
INSTANTIATE_TEST_SUITE_P(Prompts, Fp32Logits, testing::Values("t1", "t2", "t3", "t4", "t6r"));

/// The recorded prompt of t5 or t5b as a caller gives it; the pipeline works out the positions.
Prompt prompt_of(const std::string& name) {
  Prompt prompt{.input_ids = recorded(name).integers("input_ids"), .pictures = {}};
  for (Patches& patches : pictures_of_text(name)) prompt.pictures.push_back({std::move(patches), false});
  return prompt;
}

at::Tensor to_torch(const std::vector<std::vector<float>>& rows) {
  std::vector<at::Tensor> tensors;
  for (const std::vector<float>& row : rows) tensors.push_back(at::tensor(row));
  return at::stack(tensors);
}

using Greedy = testing::TestWithParam<std::tuple<std::string, CacheMode>>;

TEST_P(Greedy, SixteenTokens) {
  const auto& [name, mode] = GetParam();
  const Recorded expected = recorded(name);
  const Generation found = tiny({"--recipe", "fp32"}).generate(prompt_of(name), {.max_new_tokens = 16, .cache = mode});
  EXPECT_EQ(found.tokens, expected.integers("generated"));
  EXPECT_LE(max_difference(to_torch(found.logits), expected["step_logits"][0]), kLogitTolerance);
}
INSTANTIATE_TEST_SUITE_P(Caches, Greedy,
                         testing::Combine(testing::Values("t5", "t5b"),
                                          testing::Values(CacheMode::growing, CacheMode::shared)));

TEST(Int4Package, DecodesEquallyWithBothCaches) {
  const Pipeline pipeline = tiny({});
  for (const char* name : {"t5", "t5b"}) {
    const Prompt prompt = prompt_of(name);
    const Generation growing = pipeline.generate(prompt, {.max_new_tokens = 16, .cache = CacheMode::growing});
    const Generation shared = pipeline.generate(prompt, {.max_new_tokens = 16, .cache = CacheMode::shared});
    EXPECT_EQ(growing.tokens.size(), 16U);
    EXPECT_EQ(growing.tokens, shared.tokens);
    EXPECT_LE(max_difference(to_torch(growing.logits), to_torch(shared.logits)), kLogitTolerance);
  }
}

TEST(TextOnlyPackage, GivesHuggingFacesLogitsAndTokens) {
  const Pipeline pipeline = tiny({"--recipe", "fp32", "--components", "text", "--logits", "all"});
  EXPECT_TRUE(pipeline.text_only());
  EXPECT_LE(max_difference(prompt_logits(pipeline, "t1"), recorded("t1")["logits"]), kLogitTolerance);
  for (const CacheMode mode : {CacheMode::growing, CacheMode::shared}) {
    const Generation found = pipeline.generate(prompt_of("t5b"), {.max_new_tokens = 16, .cache = mode});
    EXPECT_EQ(found.tokens, recorded("t5b").integers("generated"));
    EXPECT_LE(max_difference(to_torch(found.logits), recorded("t5b")["step_logits"][0]), kLogitTolerance);
  }
  const std::string no_pictures = "a text-only package takes no pictures";
  EXPECT_EQ(refusal(ErrorKind::usage, [&] { pipeline.generate(prompt_of("t5")); }), no_pictures);
  EXPECT_EQ(refusal(ErrorKind::usage, [&] { pipeline.encode_images({}); }), no_pictures);
}

TEST(Generate, StopsAtAnEndOfSequenceTokenAndAtTheCachesEnd) {
  // The third token that t5 generates becomes the end of sequence, and the cache gets room for two new tokens.
  const std::filesystem::path& original = package("tiny-a", {"--recipe", "fp32"});
  const TemporaryFolder folder;
  const std::filesystem::path copy = folder / "package";
  std::filesystem::copy(original, copy, std::filesystem::copy_options::recursive);
  const Prompt prompt = prompt_of("t5");
  Json config = read_json_file(original / "genai_config.json");
  config["model"]["eos_token_id"] = recorded("t5").integers("generated")[2];
  write_bytes(copy / "genai_config.json", config.dump());
  EXPECT_EQ(Pipeline(runtime(), copy).generate(prompt).tokens.size(), 3U);
  config["search"]["max_length"] = prompt.input_ids.size() + 1;
  write_bytes(copy / "genai_config.json", config.dump());
  EXPECT_EQ(refusal(ErrorKind::usage, [&] { Pipeline(runtime(), copy).generate(prompt); }),
            "51 tokens do not fit a cache of 50 (search.max_length)");
}

TEST(PackageConfig, SaysWhatIsWrong) {
  const Json config = read_json_file(package("tiny-a", {"--recipe", "fp32"}) / "genai_config.json");
  const TemporaryFolder folder;
  const std::filesystem::path path = folder / "genai_config.json";
  const auto message = [&](ErrorKind kind, const std::string& pointer, const Json& value) {
    Json changed = config;
    changed[Json::json_pointer(pointer)] = value;
    write_bytes(path, changed.dump());
    return refusal(kind, [&] { read_package_config(folder.path()); });
  };
  EXPECT_EQ(message(ErrorKind::unsupported, "/model/type", "phi3v"),
            path.string() + ": model.type is \"phi3v\", expected qwen3_vl or qwen3");
  EXPECT_EQ(
      message(ErrorKind::bad_input, "/model/decoder/inputs/past_key_names", "past.key"),
      path.string() + ": model.decoder.inputs.past_key_names is \"past.key\", expected a name with %d for the layer");
  EXPECT_EQ(message(ErrorKind::bad_input, "/model/vision/inputs", Json::object()),
            path.string() + ": model.vision.inputs.pixel_values is missing");
  for (const char* file : {"../model.onnx", "/etc/passwd", "onnx/../../model.onnx", ""})
    EXPECT_EQ(message(ErrorKind::bad_input, "/model/decoder/filename", file),
              path.string() + ": model.decoder.filename is \"" + file + "\", expected a path inside the package");
}

CommandResult ask(const std::filesystem::path& package_folder, const std::filesystem::path& questions,
                  const std::vector<std::string>& flags) {
  std::vector<std::string> command = {Q3VL_ASK_BINARY, package_folder, questions};
  command.insert(command.end(), flags.begin(), flags.end());
  return run_command(command);
}

TEST(Answers, Fp32PackageGivesHuggingFacesAnswers) {
  const CommandResult result =
      ask(package("shapes", {"--recipe", "fp32"}), data_path("shapes/questions.json"), {"--require", "1"});
  EXPECT_EQ(result.exit_code, 0) << result.out << result.err;
  EXPECT_THAT(result.out, HasSubstr("answers equal to Hugging Face's: 4"));  // 41 to 45: the close calls may differ
  EXPECT_THAT(result.out, HasSubstr("Describe the video.\n  answer:       a small yellow cross\n"));
}

TEST(Answers, Int4PackageGivesNearlyAll) {
  const CommandResult result = ask(package("shapes", {}), data_path("shapes/questions.json"), {"--require", "0.95"});
  EXPECT_EQ(result.exit_code, 0) << result.out << result.err;
}

TEST(Answers, AWrongOneIsSeen) {
  Json questions = read_json_file(data_path("shapes/questions.json"));
  questions["videos"] = Json::array();
  questions["questions"][1]["hf_fp32_ids"][0] = 1;
  const TemporaryFolder folder;
  std::filesystem::create_directory_symlink(data_path("shapes/images"), folder / "images");
  write_bytes(folder / "questions.json", questions.dump());
  const std::filesystem::path& fp32 = package("shapes", {"--recipe", "fp32"});
  const CommandResult result = ask(fp32, folder / "questions.json", {"--limit", "3", "--require", "0.9"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.out, HasSubstr("answers equal to Hugging Face's: 2 of 3\n"));
  EXPECT_THAT(result.err, HasSubstr("2 of the 3 answers that are no close call are equal"));
  EXPECT_EQ(ask(fp32, folder / "questions.json", {"--limit", "3", "--require", "0.6"}).exit_code, 0);
}

}  // namespace
}  // namespace q3vl::test::package_test
