// Calibration: what is found about the inputs of matrices, the data it is found on, the file, and going on after
// interruptions.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>

#include <cmath>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "backend/tensor_backend.h"
#include "base/half.h"
#include "base/parallel.h"
#include "calibration/calibration_data.h"
#include "calibration/calibration_file.h"
#include "checkpoint/checkpoint_writing.h"
#include "qwen3vl_export/calibrate.h"
#include "reference/model.h"
#include "support/command.h"
#include "support/odd_model.h"
#include "support/refusal.h"
#include "support/temporary_folder.h"
#include "support/test_data.h"
#include "torch_backend/feedback_factors.h"
#include "torch_backend/prompt_features.h"
#include "weights/weight_rows.h"

namespace q3vl::calibration_test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using Matrix = std::vector<std::vector<double>>;

// Of tiny-a.
constexpr int kVisionStart = 2009;
constexpr int kVisionEnd = 2010;
constexpr int kImage = 2012;
constexpr int kVideo = 2013;

fs::path tiny() {
  return test::data_path("tiny-a/checkpoint");
}

ExportObserver silent() {
  return {};
}

void copy_picture(const std::string& name, const fs::path& to) {
  fs::copy_file(test::data_path("images/" + name), to);
}

/// The number of a processor that this process may use.
std::string first_processor() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  EXPECT_EQ(::sched_getaffinity(0, sizeof allowed, &allowed), 0);
  for (int i = 0; i < CPU_SETSIZE; ++i)
    if (CPU_ISSET(i, &allowed)) return std::to_string(i);
  return "none";
}

/// R of GPTQ by the book, in double: H, its inverse by elimination, and the upper Cholesky factor of that.
Matrix naive_feedback(Matrix h, double damping) {
  const std::size_t size = h.size();
  double mean = 0;
  for (std::size_t i = 0; i < size; ++i) {
    if (h[i][i] == 0) h[i][i] = 1;
    mean += h[i][i] / static_cast<double>(size);
  }
  Matrix inverse(size, std::vector<double>(size, 0.0));
  for (std::size_t i = 0; i < size; ++i) {
    h[i][i] += damping * mean;
    inverse[i][i] = 1;
  }
  for (std::size_t i = 0; i < size; ++i) {
    const double pivot = h[i][i];
    for (std::size_t j = 0; j < size; ++j) {
      h[i][j] /= pivot;
      inverse[i][j] /= pivot;
    }
    for (std::size_t k = 0; k < size; ++k) {
      if (k == i) continue;
      const double factor = h[k][i];
      for (std::size_t j = 0; j < size; ++j) {
        h[k][j] -= factor * h[i][j];
        inverse[k][j] -= factor * inverse[i][j];
      }
    }
  }
  Matrix u(size, std::vector<double>(size, 0.0));
  for (std::size_t i = 0; i < size; ++i)
    for (std::size_t j = i; j < size; ++j) {
      double rest = inverse[i][j];
      for (std::size_t k = 0; k < i; ++k) rest -= u[k][i] * u[k][j];
      u[i][j] = i == j ? std::sqrt(rest) : rest / u[i][i];
    }
  for (std::size_t i = 0; i < size; ++i)
    for (std::size_t j = size; j-- > i;) u[i][j] /= u[i][i];
  return u;
}

/// The largest |found − expected| / max(1, |expected|) over the packed triangle; infinity when it has another size.
double feedback_error(const std::vector<std::uint16_t>& found, const Matrix& expected) {
  const std::size_t size = expected.size();
  if (found.size() != size * (size - 1) / 2) return INFINITY;
  double largest = 0;
  std::size_t at = 0;
  for (std::size_t i = 0; i < size; ++i)
    for (std::size_t j = i + 1; j < size; ++j) {
      const double error = std::abs(static_cast<double>(float16_to_float32(found[at++])) - expected[i][j]);
      largest = std::max(largest, error / std::max(1.0, std::abs(expected[i][j])));
    }
  return largest;
}

/// The mean of x·xᵀ over the rows of a matrix.
Matrix mean_products(const at::Tensor& rows) {
  const at::Tensor x = rows.to(at::kDouble).contiguous();
  const auto size = static_cast<std::size_t>(x.size(1));
  Matrix h(size, std::vector<double>(size, 0.0));
  for (std::int64_t t = 0; t < x.size(0); ++t) {
    const double* row = x.data_ptr<double>() + t * x.size(1);
    for (std::size_t i = 0; i < size; ++i)
      for (std::size_t j = 0; j < size; ++j) h[i][j] += row[i] * row[j] / static_cast<double>(x.size(0));
  }
  return h;
}

TEST(FeedbackFactors, AreTheOnesOfANaiveComputation) {
  const at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(3);
  for (const std::int64_t size : {1, 2, 7, 128, 129, 300}) {
    // Neighbouring channels go together, and their spreads differ by orders of magnitude.
    at::Tensor x = at::randn({2 * size, size}, generator);
    x = (x + 0.8 * x.roll(1, 1)) * at::exp(at::linspace(-2, 2, size));
    if (size > 2) x.select(1, size / 2).zero_();  // a channel that never says anything
    const Matrix h = mean_products(x);
    at::Tensor hessian = at::mm(x.t(), x) / static_cast<double>(x.size(0));
    hessian.masked_fill_(at::ones({size, size}, at::kBool).tril(-1), NAN);  // is not read
    const auto found = feedback_factors(hessian.to(at::kFloat), 0.01);
    ASSERT_TRUE(found) << size;
    EXPECT_EQ(found->damping, 0.01);
    EXPECT_LT(feedback_error(found->triangle, naive_feedback(h, 0.01)), 6e-4) << size;
  }
}

TEST(FeedbackFactors, DampHarderUntilThereIsAFactor) {
  const at::Tensor hardly = at::tensor({1.0F, 1.05F, 1.05F, 1.0F}).reshape({2, 2});
  const auto found = feedback_factors(hardly.clone(), 0.01);
  ASSERT_TRUE(found);
  EXPECT_DOUBLE_EQ(found->damping, 0.1);
  EXPECT_LT(feedback_error(found->triangle, naive_feedback({{1, 1.05}, {1.05, 1}}, 0.1)), 6e-4);
  EXPECT_FALSE(feedback_factors(-at::eye(3), 0.01));
  EXPECT_FALSE(feedback_factors(at::full({3, 3}, NAN), 0.01));
}

TEST(FeedbackFactors, AreClampedToFloat16) {
  // R[0][1] is −H[0][1] / H[1][1] without damping.
  const auto found = feedback_factors(at::tensor({1e12F, -1e6F, -1e6F, 2.0F}).reshape({2, 2}), 0.0);
  ASSERT_TRUE(found);
  EXPECT_EQ(float16_to_float32(found->triangle.front()), 65504.0F);
}

TEST(CalibrationSite, IsNamedAfterTheFirstReader) {
  const std::string layer = "model.language_model.layers.3.";
  EXPECT_EQ(calibration_site(layer + "self_attn.q_proj.weight"), layer + "self_attn.q_proj.weight");
  EXPECT_EQ(calibration_site(layer + "self_attn.k_proj.weight"), layer + "self_attn.q_proj.weight");
  EXPECT_EQ(calibration_site(layer + "self_attn.v_proj.weight"), layer + "self_attn.q_proj.weight");
  EXPECT_EQ(calibration_site(layer + "self_attn.o_proj.weight"), layer + "self_attn.o_proj.weight");
  EXPECT_EQ(calibration_site(layer + "mlp.gate_proj.weight"), layer + "mlp.gate_proj.weight");
  EXPECT_EQ(calibration_site(layer + "mlp.up_proj.weight"), layer + "mlp.gate_proj.weight");
  EXPECT_EQ(calibration_site(layer + "mlp.down_proj.weight"), layer + "mlp.down_proj.weight");
  EXPECT_EQ(calibration_site("lm_head.weight"), "lm_head.weight");
}

/// A checkpoint, data for it and the calibration, and the inputs of its matrices as the reference sees them.
class Calibrated {
 public:
  Calibrated(const fs::path& checkpoint, bool feedback)
      : config_(read_model_config(checkpoint)), checkpoint_(Checkpoint::open(checkpoint)) {
    const fs::path data = folder_ / "data";
    fs::create_directory(data);
    write_bytes(data / "text.json",
                R"({"sequences": [{"input_ids": [5, 9, 900, 17, 33, 250, 7]}, {"input_ids": [8]}]})");
    if (config_.vision) copy_picture("rgb_61x97.png", data / "picture.png");
    const fs::path file = folder_ / "calibration.safetensors";
    report_ = calibrate({.checkpoint = checkpoint, .data = data, .output = file, .feedback = feedback}, silent());
    calibration_.emplace(Calibration::open(file));
    calibration_->expect_made_from(checkpoint_);
    observe(read_calibration_data(data, checkpoint, config_, 1 << 20));
  }

  const CalibrateReport& report() const { return report_; }
  const Calibration& calibration() const { return *calibration_; }
  const std::map<std::string, at::Tensor>& inputs() const { return inputs_; }  ///< [tokens, K], by site

 private:
  void observe(const std::vector<Prompt>& prompts) {
    const at::NoGradGuard inference;
    const reference::WeightProvider weights = reference::checkpoint_weights(checkpoint_);
    const auto see = [&](const std::string& site, const at::Tensor& value) {
      const at::Tensor rows = value.reshape({-1, value.size(-1)});
      at::Tensor& all = inputs_[site];
      all = all.defined() ? at::cat({all, rows}) : rows;
    };
    for (const Prompt& prompt : prompts) {
      const auto vision = prompt_features(config_, {&prompt}, weights, [] {}).front();
      const reference::TextInput input =
          reference::embed_prompt(config_, weights, reference_prompt(config_, prompt), vision ? &*vision : nullptr);
      reference::text_forward(
          config_.text, weights, input, nullptr, [&](const std::string& name, const at::Tensor& value) {
            if (name.ends_with(".input")) see(name.substr(0, name.size() - 6), value);
            if (name == "last_hidden_state")
              see(config_.text.tie_word_embeddings ? config_.text.module + ".embed_tokens.weight" : "lm_head.weight",
                  value);
          });
    }
  }

  TemporaryFolder folder_;
  ModelConfig config_;
  Checkpoint checkpoint_;
  CalibrateReport report_;
  std::optional<Calibration> calibration_;
  std::map<std::string, at::Tensor> inputs_;
};

void expect_findings_of_inputs(const Calibrated& model, bool feedback) {
  for (const auto& [site, rows] : model.inputs()) {
    const Matrix h = mean_products(rows);
    const auto moments = model.calibration().second_moment(site);
    ASSERT_TRUE(moments) << site;
    ASSERT_EQ(moments->size(), h.size()) << site;
    for (std::size_t i = 0; i < h.size(); ++i) EXPECT_NEAR((*moments)[i], h[i][i], 1e-5 * h[i][i]) << site << " " << i;
    const auto triangle = model.calibration().feedback(site);
    const bool head = site.ends_with("embed_tokens.weight") || site == "lm_head.weight";
    ASSERT_EQ(triangle.has_value(), feedback && !head) << site;
    if (triangle) {
      EXPECT_LT(feedback_error(*triangle, naive_feedback(h, kCalibrationDamping)), 2e-3) << site;
    }
  }
}

TEST(Calibrate, FindsWhatANaiveComputationFinds) {
  const TemporaryFolder folder;
  write_synthetic_checkpoint(odd_model(2), folder / "odd");
  const Calibrated model(folder / "odd", true);
  EXPECT_EQ(model.inputs().size(), 3 * 4 + 1U);
  EXPECT_TRUE(model.calibration().has_feedback());
  EXPECT_EQ(model.report().sequences, 3);
  EXPECT_EQ(model.report().layers, 3);
  EXPECT_EQ(model.report().tokens, model.calibration().metadata().tokens);
  EXPECT_EQ(model.report().tokens, model.inputs().at("lm_head.weight").size(0));
  EXPECT_EQ(model.report().bytes, fs::file_size(model.calibration().path()));
  expect_findings_of_inputs(model, true);
  const std::string layer = "model.language_model.layers.1.";
  EXPECT_EQ(model.calibration().second_moment(layer + "mlp.up_proj.weight"),
            model.calibration().second_moment(layer + "mlp.gate_proj.weight"));
  EXPECT_EQ(model.calibration().feedback(layer + "self_attn.v_proj.weight"),
            model.calibration().feedback(layer + "self_attn.q_proj.weight"));
  EXPECT_FALSE(model.calibration().second_moment("model.visual.patch_embed.proj.weight"));
}

/// Enough tokens that products are shared among threads.
TEST(Calibrate, BytesAreTheSameOnAnyThreads) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "data");
  nlohmann::json ids = nlohmann::json::array();
  for (int i = 0; i < 1500; ++i) ids.push_back(i * i % 1999);
  write_bytes(folder / "data/text.json", nlohmann::json{{"input_ids", ids}}.dump());
  copy_picture("rgb_61x97.png", folder / "data/picture.png");
  const auto bytes = [&](int threads) {
    const fs::path file = folder / fmt::format("threads {}", threads);
    calibrate({.checkpoint = tiny(), .data = folder / "data", .output = file, .feedback = true, .threads = threads},
              silent());
    return read_bytes(file);
  };
  const std::string one = bytes(1);
  for (const int threads : {2, 7}) EXPECT_TRUE(bytes(threads) == one) << threads;
  // LibTorch and BLAS count the processors that they may use, and read variables, when they are opened.
  const std::vector<std::vector<std::string>> starts = {{"/usr/bin/env", "OMP_NUM_THREADS=1"},
                                                        {"/usr/bin/env", "OMP_NUM_THREADS=3"},
                                                        {"/usr/bin/taskset", "-c", first_processor()}};
  for (std::vector<std::string> command : starts) {
    const fs::path file = folder / "started";
    command.insert(command.end(), {Q3VL_EXPORT_BINARY, tiny(), "-o", folder / "package", "--recipe", "int4-gptq",
                                   "--calibrate", folder / "data", "--calibration", file, "--force", "-q"});
    const CommandResult result = run_command(command);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_TRUE(read_bytes(file) == one) << command[1];
    fs::remove(file);
  }
}

TEST(Calibrate, FindsSecondMomentsAloneOfATiedModel) {
  const Calibrated model(tiny(), false);
  EXPECT_FALSE(model.calibration().has_feedback());
  EXPECT_EQ(model.inputs().size(), 4 * 4 + 1U);
  expect_findings_of_inputs(model, false);
}

/// The data of a folder, of tiny-a.
std::vector<Prompt> read_data(const fs::path& folder, const fs::path& checkpoint = tiny()) {
  return read_calibration_data(folder, checkpoint, read_model_config(checkpoint), 1 << 20);
}

TEST(CalibrationData, AllFormsInTheOrderOfNames) {
  const TemporaryFolder folder;
  copy_picture("rgb_80x80.png", folder / "b.png");
  copy_picture("jpeg_120x88.jpg", folder / "d.JPG");
  copy_picture("rgb_61x97.png", folder / "named.png");
  fs::create_directory(folder / "below.json");
  fs::create_directory(folder / "more");
  copy_picture("rgb_61x97.png", folder / "more/p.png");
  write_bytes(folder / "readme.txt", "not for the model");
  write_bytes(folder / "a.json",
              R"({"sequences": [{"input_ids": [1, 2, 3], "text": "abc"}, {"input_ids": [0, 2047]}]})");
  write_bytes(
      folder / "c.json",
      fmt::format(R"({{"input_ids": [7, {0}, {1}, {2}, 8, {0}, {1}, {2}], "images": ["named.png", "more/p.png"]}})",
                  kVisionStart, kImage, kVisionEnd));
  const std::vector<Prompt> prompts = read_data(folder.path());
  ASSERT_EQ(prompts.size(), 5U);
  EXPECT_EQ(prompts[0].input_ids, (std::vector<std::int64_t>{1, 2, 3}));
  EXPECT_EQ(prompts[1].input_ids, (std::vector<std::int64_t>{0, 2047}));
  const auto picture = [](const Prompt& prompt, std::size_t index) {
    return static_cast<std::size_t>(prompt.pictures.at(index).patches.grid.patches() / 4);
  };
  for (const std::size_t index : {2U, 4U}) {  // b.png, d.JPG
    ASSERT_EQ(prompts[index].pictures.size(), 1U);
    std::vector<std::int64_t> expected(picture(prompts[index], 0), kImage);
    expected.insert(expected.begin(), kVisionStart);
    expected.push_back(kVisionEnd);
    EXPECT_EQ(prompts[index].input_ids, expected);
  }
  ASSERT_EQ(prompts[3].pictures.size(), 2U);
  std::vector<std::int64_t> expected = {7, kVisionStart};
  expected.insert(expected.end(), picture(prompts[3], 0), kImage);
  expected.insert(expected.end(), {kVisionEnd, 8, kVisionStart});
  expected.insert(expected.end(), picture(prompts[3], 1), kImage);
  expected.push_back(kVisionEnd);
  EXPECT_EQ(prompts[3].input_ids, expected);
  EXPECT_EQ(count_tokens(prompts),
            static_cast<std::int64_t>(5 + prompts[2].input_ids.size() + expected.size() + prompts[4].input_ids.size()));
}

TEST(CalibrationData, LongTextIsCut) {
  const TemporaryFolder folder;
  write_bytes(folder / "long.json", fmt::format(R"({{"input_ids": {}}})", std::vector<int>(5000, 3)));
  const std::vector<Prompt> prompts = read_data(folder.path());
  ASSERT_EQ(prompts.size(), 1U);
  EXPECT_EQ(prompts[0].input_ids.size(), 4096U);
}

TEST(CalibrationData, TheFingerprintIsOfTokensAndPixels) {
  const TemporaryFolder folder;
  write_bytes(folder / "a.json", R"({"input_ids": [1, 2, 3]})");
  copy_picture("rgb_80x80.png", folder / "b.png");
  const std::string before = describe_data(read_data(folder.path()));
  EXPECT_THAT(before, testing::MatchesRegex("2 sequences, fingerprint [0-9a-f]{16}"));
  fs::rename(folder / "a.json", folder / "aa.json");
  EXPECT_EQ(describe_data(read_data(folder.path())), before);
  write_bytes(folder / "aa.json", R"({"input_ids": [1, 2, 4]})");
  EXPECT_NE(describe_data(read_data(folder.path())), before);
}

TEST(Calibrate, RefusesInputsThatOverflow) {
  const ModelConfig config = read_model_config(tiny());
  const Checkpoint checkpoint = Checkpoint::open(tiny());
  const ReferenceWeights stored = checkpoint_weights(checkpoint, 1);
  const std::vector<Prompt> prompts = {{.input_ids = {1, 2, 3}, .pictures = {}}};
  CalibrationState state;

  CalibrationRequest request{.config = &config,
                             .prompts = &prompts,
                             .weights =
                                 [&](const std::string& name) {
                                   HostTensor tensor = stored(name);
                                   if (name == "model.language_model.layers.1.input_layernorm.weight")
                                     for (float& value : tensor.values<float>()) value = 1e30F;
                                   return tensor;
                                 },
                             .feedback = true,
                             .damping = kCalibrationDamping,
                             .threads = 1,
                             .state = &state,
                             .found = [](const SiteFindings&) {},
                             .advanced = [] {},
                             .warning = [](const std::string&) {}};
  EXPECT_EQ(refusal(ErrorKind::bad_input, [&] { tensor_backend().run_calibration(request); }),
            "the inputs of \"model.language_model.layers.1.self_attn.o_proj.weight\" are not finite, or too large for "
            "float32: the calibration data overflow in this checkpoint");
  EXPECT_EQ(state.layers_done, 1);
}

struct BadData {
  const char* name;
  std::string json;
  std::string message;  ///< behind "<folder>/bad.json: "
  ErrorKind kind = ErrorKind::bad_input;
};

std::ostream& operator<<(std::ostream& out, const BadData& data) {
  return out << data.name;
}

class BadCalibrationData : public testing::TestWithParam<BadData> {};

TEST_P(BadCalibrationData, IsRefusedWithFileAndPosition) {
  const TemporaryFolder folder;
  write_bytes(folder / "bad.json", GetParam().json);
  copy_picture("rgb_80x80.png", folder / "a.png");
  EXPECT_EQ(refusal(GetParam().kind, [&] { read_data(folder.path()); }),
            fmt::format("{}: {}", (folder / "bad.json").string(), GetParam().message));
}

INSTANTIATE_TEST_SUITE_P(
    All, BadCalibrationData,
    testing::Values(
        BadData{"array", "[1, 2]", "the document is an array, expected an object"},
        BadData{"nothing", "{}", R"(has neither "sequences" nor "input_ids"; expected one of them)"},
        BadData{"noArray", R"({"sequences": 3})", "sequences is 3, expected an array"},
        BadData{"noObject", R"({"sequences": [[1]]})", "sequences[0] is an array, expected an object"},
        BadData{"noIds", R"({"sequences": [{"input_ids": [1]}, {}]})", "sequences[1].input_ids is missing"},
        BadData{"emptyIds", R"({"input_ids": []})", "input_ids is an empty array, expected an array of token ids"},
        BadData{"text", R"({"input_ids": "abc"})", R"(input_ids is "abc", expected an array of token ids)"},
        BadData{"vocabulary", R"({"sequences": [{"input_ids": [1, 2048]}]})",
                "sequences[0].input_ids[1] is 2048, expected a token id from 0 to 2047"},
        BadData{"negative", R"({"input_ids": [-1]})", "input_ids[0] is -1, expected a token id from 0 to 2047"},
        BadData{"fraction", R"({"input_ids": [1.5]})", "input_ids[0] is 1.5, expected a token id from 0 to 2047"},
        BadData{"video", fmt::format(R"({{"input_ids": [1, {}]}})", kVideo),
                "input_ids[1] is 2013, the placeholder of videos, which are not read here; give frames as images"},
        BadData{"imagesText", R"({"input_ids": [1], "images": "a.png"})",
                R"(images is "a.png", expected an array of file names)"},
        BadData{"imagesNumber", R"({"input_ids": [1], "images": [4]})", "images[0] is 4, expected a file name"},
        BadData{"noPicture", fmt::format(R"({{"input_ids": [{}, {}]}})", kVisionStart, kImage),
                "input_ids has 1 image placeholders (token 2012), but 0 pictures are named; expected one a picture"},
        BadData{
            "noPlaceholder", R"({"sequences": [{"input_ids": [1], "images": ["a.png"]}]})",
            "sequences[0].input_ids has 0 image placeholders (token 2012), but 1 pictures are named; expected one a "
            "picture"},
        BadData{"notOpened", fmt::format(R"({{"input_ids": [5, {}], "images": ["a.png"]}})", kImage),
                "input_ids: the prompt's token 1 is an image placeholder, but the token before it is not 2009, which "
                "opens a picture"},
        BadData{"tooLong",
                fmt::format(R"({{"input_ids": [{}, {}, {}], "images": ["a.png"]}})",
                            fmt::join(std::vector<int>(4093, 3), ", "), kVisionStart, kImage),
                "input_ids is 4158 tokens long with its pictures, expected at most 4096"}),
    [](const auto& data) { return std::string(data.param.name); });

TEST(CalibrationData, FoldersWithoutDataAreRefused) {
  const TemporaryFolder folder;
  const std::string path = folder.path().string();
  write_bytes(folder / "readme.txt", "");
  EXPECT_EQ(refusal(ErrorKind::usage, [&] { read_data(folder.path()); }),
            path + ": holds no calibration data; expected .json files with token ids, or pictures (.png, .jpg, .jpeg)");
  EXPECT_EQ(refusal(ErrorKind::usage, [&] { read_data(folder / "none"); }),
            path + "/none: cannot be read as a folder of calibration data: No such file or directory");
  write_bytes(folder / "bad.png", "no picture");
  EXPECT_THAT(refusal(ErrorKind::bad_input, [&] { read_data(folder.path()); }), HasSubstr("bad.png: "));
}

TEST(CalibrationData, ALanguageModelSeesNoPictures) {
  ModelConfig config = read_model_config(tiny());
  config.vision.reset();
  config.image_token_id.reset();
  config.video_token_id.reset();
  const TemporaryFolder folder;
  const auto read = [&] { read_calibration_data(folder.path(), "plain", config, 1 << 20); };
  write_bytes(folder / "a.json", fmt::format(R"({{"input_ids": [{}]}})", kImage));
  read();
  copy_picture("rgb_80x80.png", folder / "b.png");
  const std::string message = (folder / "b.png").string() +
                              ": is a picture, but plain is a language model, which sees none; expected .json files "
                              "with token ids";
  EXPECT_EQ(refusal(ErrorKind::usage, read), message);
  write_bytes(folder / "a.json", R"({"input_ids": [1], "images": ["b.png"]})");
  EXPECT_EQ(refusal(ErrorKind::usage, read), message);
}

/// Data and outputs of runs that are interrupted.
class Interruption : public testing::Test {
 protected:
  Interruption() {
    fs::create_directory(folder_ / "data");
    write_bytes(folder_ / "data/text.json", R"({"input_ids": [5, 9, 900, 17, 33]})");
    copy_picture("rgb_61x97.png", folder_ / "data/picture.png");
  }

  CalibrateRequest request(const std::string& output, bool feedback = true) const {
    return {.checkpoint = tiny(), .data = folder_ / "data", .output = folder_ / output, .feedback = feedback};
  }

  /// Runs it until `layers` are done; true when it was interrupted there.
  static bool interrupted_at(const CalibrateRequest& request, std::uint64_t layers) {
    ExportObserver observer;
    observer.progress = [&](const ExportProgress& progress) {
      EXPECT_EQ(progress.total, kLayers);
      EXPECT_EQ(progress.unit, "layers");
      interrupt_requested = progress.done == layers;
    };
    try {
      calibrate(request, observer);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::interrupted) << error.what();
      interrupt_requested = false;
      return true;
    }
    return false;
  }

  std::set<std::string> files() const {
    std::set<std::string> names;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder_.path()))
      names.insert(entry.path().filename().string());
    return names;
  }

  static constexpr std::uint64_t kLayers = 4;
  TemporaryFolder folder_;
};

TEST_F(Interruption, AtAnyLayerLeavesTheSameBytes) {
  EXPECT_EQ(calibrate(request("whole"), silent()).layers_before, 0);
  EXPECT_EQ(files(), (std::set<std::string>{"data", "whole"}));
  const std::string whole = read_bytes(folder_ / "whole");
  for (std::uint64_t layers = 0; layers <= kLayers; ++layers) {
    const std::string name = fmt::format("at{}", layers);
    ASSERT_TRUE(interrupted_at(request(name), layers));
    EXPECT_TRUE(files().contains(name + ".partial"));
    EXPECT_TRUE(files().contains(name + ".state"));
    EXPECT_FALSE(files().contains(name));
    EXPECT_THAT(refusal(ErrorKind::bad_input, [&] { Calibration::open(folder_ / (name + ".partial")); }),
                HasSubstr("it is not a safetensors file"));
    write_bytes(folder_ / (name + ".state.new"), "half a state, by a run that was killed");
    const CalibrateReport report = calibrate(request(name), silent());
    EXPECT_EQ(report.layers_before, static_cast<std::int64_t>(layers));
    EXPECT_EQ(read_bytes(folder_ / name), whole) << layers;
  }
  for (std::uint64_t layers = 0; layers <= kLayers; ++layers)
    ASSERT_TRUE(interrupted_at(request("each"), layers)) << layers;
  EXPECT_EQ(calibrate(request("each"), silent()).layers_before, static_cast<std::int64_t>(kLayers));
  EXPECT_EQ(read_bytes(folder_ / "each"), whole);
  for (const std::string& name : files())
    EXPECT_FALSE(name.ends_with(".partial") || name.find(".state") != std::string::npos) << name;
}

TEST_F(Interruption, BeforeTheFirstLayerLeavesNothing) {
  interrupt_requested = true;
  refusal(ErrorKind::interrupted, [&] { calibrate(request("out"), silent()); });
  interrupt_requested = false;
  EXPECT_EQ(files(), std::set<std::string>{"data"});
}

TEST_F(Interruption, AnotherRequestBeginsAnew) {
  ASSERT_TRUE(interrupted_at(request("out"), 2));
  ASSERT_TRUE(interrupted_at(request("out", false), 1));
  EXPECT_EQ(calibrate(request("out", false), silent()).layers_before, 1);
  EXPECT_FALSE(Calibration::open(folder_ / "out").has_feedback());
  fs::remove(folder_ / "out");
  ASSERT_TRUE(interrupted_at(request("out", false), 2));
  write_bytes(folder_ / "data/text.json", R"({"input_ids": [5, 9, 900, 17, 34]})");
  EXPECT_EQ(calibrate(request("out", false), silent()).layers_before, 0);
}

TEST_F(Interruption, DamagedStatesBeginAnew) {
  EXPECT_EQ(calibrate(request("whole"), silent()).layers_before, 0);
  ASSERT_TRUE(interrupted_at(request("out"), 2));
  const std::string state = read_bytes(folder_ / "out.state");
  write_bytes(folder_ / "out.state", state.substr(0, 100));
  EXPECT_EQ(calibrate(request("out"), silent()).layers_before, 0);
  EXPECT_EQ(read_bytes(folder_ / "out"), read_bytes(folder_ / "whole"));
}

TEST_F(Interruption, OutputsThatAreInTheWayAreRefused) {
  const std::string out = (folder_ / "out").string();
  const auto run = [&] { calibrate(request("out", false), silent()); };
  write_bytes(out, "precious");
  EXPECT_EQ(refusal(ErrorKind::output, run), out + ": exists already; remove it, or choose another name");
  fs::rename(out, out + ".partial");
  EXPECT_EQ(refusal(ErrorKind::output, run),
            out + ".partial: is in the way, and not left behind by this program; move it away");
  EXPECT_EQ(read_bytes(out + ".partial"), "precious");
  fs::remove(out + ".partial");
  const File held = File::open_exclusively(out + ".partial");
  EXPECT_EQ(refusal(ErrorKind::output, run), out + ".partial: another run is writing it");
}

/// A calibration file of one's own making: its tensors, all zeros, and its metadata.
void write_file(const fs::path& path, const std::vector<std::pair<std::string, std::pair<DataType, Shape>>>& tensors,
                const SafetensorsMetadata& metadata) {
  std::vector<SafetensorsEntry> entries;
  std::uint64_t end = 0;
  for (const auto& [name, what] : tensors) {
    const std::uint64_t begin = end;
    end += static_cast<std::uint64_t>(element_count(what.second)) * size_of(what.first);
    entries.push_back({name, what.first, what.second, begin, end});
  }
  write_bytes(path, safetensors_header(entries, metadata) + std::string(end, '\0'));
}

TEST(CalibrationFile, ForeignAndDamagedFilesAreRefused) {
  const TemporaryFolder folder;
  const fs::path path = folder / "c.safetensors";
  const auto refused = [&](const auto& tensors, const SafetensorsMetadata& metadata) {
    write_file(path, tensors, metadata);
    const std::string message = refusal(ErrorKind::bad_input, [&] { Calibration::open(path); });
    EXPECT_TRUE(message.starts_with(path.string() + ": ")) << message;
    return message.substr(std::min(message.size(), path.string().size() + 2));
  };
  using Tensors = std::vector<std::pair<std::string, std::pair<DataType, Shape>>>;
  const SafetensorsMetadata sound = {{"format", "qwen3vl-export calibration 1"},
                                     {"checkpoint", "a"},
                                     {"data", "b"},
                                     {"tokens", "3"},
                                     {"damping", "0.01"}};
  const auto with = [&](const std::string& key, const std::string& value) {
    SafetensorsMetadata metadata = sound;
    metadata[key] = value;
    return metadata;
  };
  const Tensors moments = {{"w.second_moment", {DataType::float32, {4}}}};
  write_file(path, moments, sound);
  EXPECT_EQ(Calibration::open(path).second_moment("w"), std::vector<float>(4, 0.0F));

  EXPECT_EQ(refused(moments, {{"format", "pt"}}),
            R"(is not a calibration: its metadata say that "format" is "pt", expected "qwen3vl-export calibration 1")");
  EXPECT_EQ(
      refused(moments, {}),
      R"(is not a calibration: its metadata say that "format" is missing, expected "qwen3vl-export calibration 1")");
  EXPECT_EQ(refused(moments, with("tokens", "-3")),
            R"(its metadata say that "tokens" is "-3", expected a number above 0)");
  EXPECT_EQ(refused(moments, with("damping", "0.01x")),
            R"(its metadata say that "damping" is "0.01x", expected a number above 0)");
  SafetensorsMetadata lacking = sound;
  lacking.erase("data");
  EXPECT_EQ(refused(moments, lacking), R"(its metadata lack "data"; the calibration is damaged)");
  EXPECT_EQ(refused(Tensors{{"w.other", {DataType::float32, {4}}}}, sound),
            R"(holds the tensor "w.other", expected names that end in .second_moment or .feedback)");
  EXPECT_EQ(refused(Tensors{{"w.second_moment", {DataType::float16, {4}}}}, sound),
            R"(the tensor "w.second_moment" is float16 [4], expected float32 [4])");
  EXPECT_EQ(refused(Tensors{{"w.second_moment", {DataType::float32, {2, 2}}}}, sound),
            R"(the tensor "w.second_moment" has the shape [2, 2], expected one axis)");
  EXPECT_EQ(refused(Tensors{{"w.feedback", {DataType::float16, {6}}}}, sound),
            R"(holds the tensor "w.feedback", but not "w.second_moment")");
  EXPECT_EQ(refused(Tensors{moments[0], {"w.feedback", {DataType::float16, {7}}}}, sound),
            R"(the tensor "w.feedback" is float16 [7], expected float16 [6])");

  write_file(path, moments, sound);
  const std::string bytes = read_bytes(path);
  write_bytes(path, bytes.substr(0, bytes.size() - 1));
  EXPECT_EQ(refusal(ErrorKind::bad_input, [&] { Calibration::open(path); }),
            path.string() +
                ": holds 15 bytes of tensors, but its header describes 16; the file was cut short or is still "
                "being downloaded");
  write_bytes(path, bytes.substr(0, bytes.size() - 4) + std::string("\0\0\xc0\x7f", 4));  // NaN
  EXPECT_EQ(refusal(ErrorKind::bad_input, [&] { Calibration::open(path).second_moment("w"); }),
            path.string() +
                R"(: the tensor "w.second_moment" has nan at 3, expected a mean of squares; the calibration is )"
                "damaged");
}

TEST(CalibrationFile, OfAnotherCheckpointIsRefused) {
  const TemporaryFolder folder;
  write_synthetic_checkpoint({.model = synth_preset("tiny")}, folder / "other");
  const Checkpoint mine = Checkpoint::open(tiny());
  const Checkpoint other = Checkpoint::open(folder / "other");
  const TextConfig config = read_model_config(tiny()).text;
  const std::string identity = checkpoint_identity(config, mine);
  const std::vector<SafetensorsEntry> entries = calibration_entries(calibration_sites(config, false));
  const fs::path path = folder / "c.safetensors";
  write_bytes(path, calibration_header(entries, {.checkpoint = identity, .data = "d", .tokens = 1, .damping = 0.01}) +
                        std::string(entries.back().end, '\0'));
  const Calibration calibration = Calibration::open(path);
  calibration.expect_made_from(mine);
  EXPECT_EQ(refusal(ErrorKind::bad_input, [&] { calibration.expect_made_from(other); }),
            fmt::format("{}: was made from another checkpoint ({}) than {} ({})", path.string(), identity,
                        other.folder().string(), checkpoint_identity(read_model_config(other.folder()).text, other)));

  write_file(path, {{entries[1].name, {DataType::float32, entries[1].shape}}},
             {{"format", "qwen3vl-export calibration 1"},
              {"checkpoint", identity},
              {"data", "d"},
              {"tokens", "1"},
              {"damping", "0.01"}});
  EXPECT_EQ(refusal(ErrorKind::bad_input, [&] { Calibration::open(path).expect_made_from(mine); }),
            path.string() +
                ": lacks the findings on \"model.language_model.layers.0.self_attn.q_proj.weight\"; the "
                "calibration is damaged");
}

}  // namespace
}  // namespace q3vl::calibration_test
