// verify: sound packages are proven, and reports say what was compared. What is expected is written here by hand or
// computed by the reference.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>

#include "checkpoint/checkpoint.h"
#include "reference/model.h"
#include "runtime/pipeline.h"
#include "support/refusal.h"
#include "support/verified_packages.h"
#include "verify/cases.h"
#include "verify/measure.h"

namespace q3vl::verify_test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

struct Sound {
  std::string checkpoint;
  Flags flags;
};

class SoundPackage : public testing::TestWithParam<Sound> {};

TEST_P(SoundPackage, IsProven) {
  const auto& [name, flags] = GetParam();
  const json report = verify_json(package(name, flags), name, {}, 0);
  ASSERT_TRUE(report.is_object());
  EXPECT_TRUE(report["ok"]);
  for (const char* check : {"graph", "weights", "numerics", "quality"}) {
    EXPECT_TRUE(report[check]["ok"]) << check;
    EXPECT_EQ(report[check]["findings"].size(), 0U) << check;
  }
  EXPECT_LT(report["numerics"]["largest_error"], 1e-4);
  EXPECT_GT(report["numerics"]["largest_error"], 0) << "two different programs do not agree to the last bit";
}

INSTANTIATE_TEST_SUITE_P(
    All, SoundPackage,
    testing::Values(Sound{"tiny-a", {}}, Sound{"tiny-a", {"--recipe", "fp32"}}, Sound{"tiny-a", {"--recipe", "fp16"}},
                    Sound{"tiny-a", {"--recipe", "int8"}}, Sound{"tiny-a", {"--embedding", "int4"}},
                    Sound{"tiny-a", {"--logits", "all"}}, Sound{"odd", {"--kv-cache", "int8"}},
                    Sound{"tiny-a", {"--recipe", "w8a8", "--components", "text", "--kv-cache", "int8"}},
                    Sound{"tiny-a", {"--components", "text"}},
                    Sound{"tiny-a", {"--components", "text", "--embedding", "int4", "--logits", "all"}},
                    Sound{"tiny-a", {"--components", "vision"}}, Sound{"tiny-a", {"--components", "vision,text"}},
                    Sound{"tiny-a", {"--recipe", "w8a8"}}, Sound{"odd", {"--recipe", "w8a8"}},
                    Sound{"tiny-a",
                          {"--recipe", "fp32", "--components", "text", "--tensor", "attention_q=w8a8", "--tensor",
                           "lm_head=w8a8"}},
                    Sound{"odd", {"--block-size", "16"}}, Sound{"odd", {"--recipe", "fp32"}}, Sound{"plain Qwen3", {}},
                    Sound{"shapes", {}}),
    [](const auto& sound) {
      std::string name = sound.param.checkpoint;
      for (const std::string& flag : sound.param.flags) name += flag;
      std::erase_if(name, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; });
      return name;
    });

TEST(VerifyReport, CountsWhatWasCompared) {
  const json report = verify_json(package("tiny-a"), "tiny-a", {}, 0);
  std::int64_t nodes = 0;
  const std::function<void(const onnx::GraphProto&)> count = [&](const onnx::GraphProto& graph) {
    nodes += graph.node_size();
    for (const onnx::NodeProto& node : graph.node())
      for (const onnx::AttributeProto& attribute : node.attribute())
        if (attribute.has_g()) count(attribute.g());
  };
  std::set<std::tuple<std::string, std::string, std::string>> parts;  // graphs share some
  std::uint64_t bytes = 0;
  const Changed copy(package("tiny-a"));
  for (const char* file : {"vision.onnx", "embedding.onnx", "model.onnx"}) {
    const onnx::ModelProto model = copy.model(file);
    count(model.graph());
    bytes += fs::file_size(copy.path() / (std::string(file) + ".data"));
    for (const onnx::TensorProto& tensor : model.graph().initializer())
      if (tensor.external_data_size() == 3)
        parts.insert(
            {tensor.external_data(0).value(), tensor.external_data(1).value(), tensor.external_data(2).value()});
  }
  EXPECT_EQ(report["graph"]["nodes"], nodes);
  EXPECT_EQ(report["weights"]["tensors"], parts.size());
  EXPECT_EQ(report["weights"]["bytes"], bytes);
  EXPECT_THAT(report["cases"], ElementsAre("text", "one image", "images of different sizes", "video"));
  EXPECT_EQ(report["recipe"], "int4");
  EXPECT_EQ(report["onnxruntime"], OnnxRuntime().version());
  EXPECT_EQ(report["quality"]["layers"].size(), 4U);
  std::uint64_t sizes = 0;
  for (const json& size : report["sizes"]) sizes += size["bytes"].get<std::uint64_t>();
  std::uint64_t owned = 0;
  for (const auto& [file, offset, length] : parts) owned += std::stoull(length);
  EXPECT_EQ(sizes, owned) << "every byte has a role, but for those between the weights";
}

TEST(VerifyNumerics, HoldWithAStretchedContext) {
  const json report = verify_json(package("stretched", {"--recipe", "fp32"}), "stretched", {"--checks", "numerics"}, 0);
  EXPECT_TRUE(report["ok"]) << report.dump(2);
}

TEST(VerifyReport, RunsTheChecksThatAreAskedFor) {
  const json report = verify_json(package("tiny-a"), "tiny-a", {"--checks", "graph,weights"}, 0);
  EXPECT_TRUE(report.contains("graph"));
  EXPECT_TRUE(report.contains("weights"));
  EXPECT_FALSE(report.contains("numerics"));
  EXPECT_FALSE(report.contains("quality"));
  EXPECT_EQ(report["onnxruntime"], "");
}

TEST(VerifyReport, IsTextForPeopleAndAPageForTheBrowser) {
  const TemporaryFolder folder;
  const fs::path page = folder / "proof.html";
  write_bytes(page, "an older page");
  const CommandResult result = verify(package("tiny-a"), "tiny-a", {"--report", page});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  for (const char* line : {"graph     passed  ", "weights   passed  ", "numerics  passed  ", "quality   passed  ",
                           " other files compared\n", "tolerance 0.0001\n", " is proven: "})
    EXPECT_THAT(result.out, HasSubstr(line));
  const std::string html = read_bytes(page);
  EXPECT_THAT(html, testing::StartsWith("<!DOCTYPE html>"));
  for (const char* part :
       {"Error by layer", "KL divergence by position", "Sizes by role", "<svg", "mlp_gate", "</html>"})
    EXPECT_THAT(html, HasSubstr(part));
  for (const char* outside : {"http:", "https:", "<script", "<link", "src="})
    EXPECT_THAT(html, testing::Not(HasSubstr(outside))) << "the page must stand alone";
}

TEST(VerifyReport, ProvesOnPicturesOfTheUser) {
  const std::string picture = test::data_path("images/jpeg_120x88.jpg");
  const json report = verify_json(package("tiny-a"), "tiny-a", {"--image", picture}, 0);
  EXPECT_EQ(report["cases"].back(), "jpeg_120x88.jpg");
  bool compared = false;
  for (const json& row : report["numerics"]["values"])
    compared = compared || (row["case"] == "jpeg_120x88.jpg" && row["value"] == "deepstack 2");
  EXPECT_TRUE(compared);
}

/// KL divergence by its definition, in double.
double naive_kld(const std::vector<double>& found, const std::vector<double>& expected) {
  double found_sum = 0;
  double expected_sum = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    found_sum += std::exp(found[i]);
    expected_sum += std::exp(expected[i]);
  }
  double sum = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const double p = std::exp(expected[i]) / expected_sum;
    sum += p * std::log(p / (std::exp(found[i]) / found_sum));
  }
  return sum;
}

/// −log of the token's share of the distribution, by its definition, in double.
double naive_nll(const std::vector<double>& logits, std::int64_t token) {
  double sum = 0;
  for (const double logit : logits) sum += std::exp(logit);
  return -std::log(std::exp(logits.at(static_cast<std::size_t>(token))) / sum);
}

/// Logits at every position of a prompt: of the package through the runtime's pipeline, whose graph gives them all, and
/// of the checkpoint through the reference's own functions. Nothing of the code that measures is used.
class NaiveLogits {
 public:
  struct Both {
    std::vector<std::vector<double>> package;
    std::vector<std::vector<double>> checkpoint;
  };

  Both operator()(const Prompt& asked) const {
    std::vector<Patches> pictures;
    std::vector<Grid> images;
    std::vector<Grid> videos;
    std::vector<at::Tensor> pixels;
    for (const PromptPicture& picture : asked.pictures) {
      pictures.push_back(picture.patches);
      (picture.video ? videos : images).push_back(picture.patches.grid);
      pixels.push_back(at::tensor(picture.patches.pixel_values).reshape({picture.patches.grid.patches(), -1}));
    }
    const reference::Prompt prompt = reference::prompt_of(config_, asked.input_ids, images, videos);
    std::vector<Grid> grids = images;
    grids.insert(grids.end(), videos.begin(), videos.end());
    std::optional<reference::VisionFeatures> vision;
    if (!grids.empty()) vision = reference::vision_forward(*config_.vision, weights_, at::cat(pixels), grids);
    const at::Tensor expected = reference::prompt_logits(config_, weights_, prompt, vision ? &*vision : nullptr)[0];

    const auto length = static_cast<std::int64_t>(asked.input_ids.size());
    const HostTensor ids = HostTensor::of<std::int64_t>({1, length}, asked.input_ids);
    const at::Tensor positions = prompt.position_ids.contiguous();
    KvCache cache = pipeline_.decoder().make_cache(CacheMode::growing, 1, 0);
    const HostTensor logits = pipeline_.decoder().decode(
        pipeline_.embed(ids, pipeline_.encode_images(pictures)),
        HostTensor::of<std::int64_t>({1, length}, std::vector<std::int64_t>(static_cast<std::size_t>(length), 1)),
        HostTensor::of<std::int64_t>({3, 1, length},
                                     {positions.data_ptr<std::int64_t>(), static_cast<std::size_t>(positions.numel())}),
        cache);
    return {rows(at::tensor(logits.to_float32()).reshape({length, -1})), rows(expected)};
  }

  static const Flags& flags() {
    static const Flags flags = {"--logits", "all"};
    return flags;
  }

 private:
  static std::vector<std::vector<double>> rows(const at::Tensor& all) {
    std::vector<std::vector<double>> list;
    for (std::int64_t place = 0; place < all.size(0); ++place) {
      const at::Tensor values = all[place].to(at::kDouble).contiguous();
      list.emplace_back(values.data_ptr<double>(), values.data_ptr<double>() + values.numel());
    }
    return list;
  }

  ModelConfig config_ = read_model_config(checkpoint("tiny-a"));
  Checkpoint stored_ = Checkpoint::open(checkpoint("tiny-a"));
  reference::WeightProvider weights_ = reference::checkpoint_weights(stored_);
  Pipeline pipeline_{OnnxRuntime(), package("tiny-a", flags())};
};

bool same_top(const std::vector<double>& a, const std::vector<double>& b) {
  return std::ranges::max_element(a) - a.begin() == std::ranges::max_element(b) - b.begin();
}

TEST(VerifyQuality, IsWhatThePipelineAndTheReferenceGive) {
  const json report =
      verify_json(package("tiny-a", NaiveLogits::flags()), "tiny-a", {"--checks", "quality"}, 0)["quality"];
  const NaiveLogits naive;
  double sum = 0;
  std::size_t count = 0;
  std::size_t same = 0;
  for (const VerifyCase& item : verify_cases(read_model_config(checkpoint("tiny-a")), true, {}, {})) {
    const NaiveLogits::Both logits = naive(item.prompt);
    ASSERT_EQ(item.positions.size(), logits.package.size()) << "these prompts are short";
    for (std::size_t place = 0; place < logits.package.size(); ++place) {
      sum += naive_kld(logits.package[place], logits.checkpoint[place]);
      same += same_top(logits.package[place], logits.checkpoint[place]) ? 1U : 0U;
      ++count;
    }
  }
  EXPECT_EQ(report["positions"].size(), count);
  EXPECT_NEAR(report["mean_kld"].get<double>(), sum / static_cast<double>(count), 1e-5);
  EXPECT_NEAR(report["top1_agreement"].get<double>(), static_cast<double>(same) / static_cast<double>(count), 1e-9);
  EXPECT_FALSE(report.contains("text"));
}

// ---- Texts ----------------------------------------------------------------------------------------------------------

TEST(VerifyText, IsJudgedByItsNextTokens) {
  const TemporaryFolder folder;
  std::vector<std::vector<std::int64_t>> sequences = {{5, 1999}, {}, {7, 300, 2002, 11, 12, 13, 14, 0, 2047}};
  for (std::int64_t i = 0; i < 60; ++i) sequences[1].push_back(i * i * 7 % 1990);  // more than the own cases compare
  write_bytes(folder / "a.json",
              json{{"about", "a text"},
                   {"sequences", {{{"id", 0}, {"input_ids", sequences[0]}}, {{"input_ids", sequences[1]}}}}}
                  .dump());
  write_bytes(folder / "b.json", json{{"sequences", {{{"input_ids", sequences[2]}}}}}.dump());
  const json report =
      verify_json(package("tiny-a", NaiveLogits::flags()), "tiny-a",
                  {"--checks", "numerics,quality", "--text", folder / "a.json", "--text", folder / "b.json"}, 0);
  double kld = 0;
  double nll_package = 0;
  double nll_checkpoint = 0;
  double same = 0;
  double positions = 0;
  double tokens = 0;
  const NaiveLogits naive;
  for (const std::vector<std::int64_t>& ids : sequences) {
    const NaiveLogits::Both logits = naive({.input_ids = ids, .pictures = {}});
    for (std::size_t place = 0; place < ids.size(); ++place) {
      kld += naive_kld(logits.package[place], logits.checkpoint[place]);
      same += same_top(logits.package[place], logits.checkpoint[place]) ? 1 : 0;
      ++positions;
      if (place + 1 == ids.size()) continue;
      nll_package += naive_nll(logits.package[place], ids[place + 1]);
      nll_checkpoint += naive_nll(logits.checkpoint[place], ids[place + 1]);
      ++tokens;
    }
  }
  const json& text = report["quality"]["text"];
  EXPECT_EQ(text["sequences"], 3);
  EXPECT_EQ(text["positions"], positions);
  EXPECT_NEAR(text["kld"].get<double>(), kld / positions, 1e-5);
  EXPECT_NEAR(text["top1_agreement"].get<double>(), same / positions, 1e-9);
  EXPECT_NEAR(text["nll_checkpoint"].get<double>(), nll_checkpoint / tokens, 1e-5);
  EXPECT_NEAR(text["nll_package"].get<double>(), nll_package / tokens, 1e-5);

  EXPECT_THAT(report["cases"], ElementsAre("text", "one image", "images of different sizes", "video", "a.json 0",
                                           "a.json 1", "b.json 0"));
  std::set<std::string> in_numerics;
  for (const json& row : report["numerics"]["values"]) in_numerics.insert(row["case"]);
  EXPECT_EQ(in_numerics.size(), 4U) << "texts are for quality alone";
  double all = 0;
  for (const json& row : report["quality"]["positions"]) all += row["kld"].get<double>();
  const std::size_t count = report["quality"]["positions"].size();
  EXPECT_GT(count, static_cast<std::size_t>(positions));
  EXPECT_NEAR(report["quality"]["mean_kld"].get<double>(), all / static_cast<double>(count), 1e-9);
}

TEST(VerifyText, IsReportedForPeopleAndOfTextOnlyPackages) {
  const TemporaryFolder folder;
  write_bytes(folder / "text.json", R"({"sequences": [{"input_ids": [1, 2, 3, 4, 5, 6, 7]}]})");
  const CommandResult result =
      verify(package("tiny-a", {"--components", "text"}), "tiny-a",
             {"--checks", "quality", "--text", folder / "text.json", "--report", folder / "page.html"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, testing::ContainsRegex("\n    texts given    KL divergence [0-9.]+ nats, same top token at "
                                                 "[0-9.]+ % of 7 positions; [0-9.]+ nats a token, the "
                                                 "checkpoint's [0-9.]+\n"));
  const std::string html = read_bytes(folder / "page.html");
  EXPECT_THAT(html, HasSubstr("<tr><td>1 sequence<td class=\"n\">7<td"));
  EXPECT_THAT(html, HasSubstr("mean of the texts given"));
}

/// 64 positions fit, of 10 + 21 + 200 + 201: short sequences are compared whole, the others at as many places each.
TEST(VerifyText, IsComparedAtAsManyPositionsAsHaveRoom) {
  ModelConfig config = read_model_config(checkpoint("tiny-a"));
  config.text.vocab_size = (1 << 20) - 1;
  const TemporaryFolder folder;
  const auto positions_of = [&](const std::vector<std::size_t>& lengths) {
    json sequences = json::array();
    for (const std::size_t length : lengths) sequences.push_back({{"input_ids", std::vector<std::int64_t>(length, 9)}});
    write_bytes(folder / "text.json", json{{"sequences", sequences}}.dump());
    const fs::path file = folder / "text.json";
    std::vector<std::vector<std::int64_t>> positions;
    for (const VerifyCase& item : text_cases(config, {&file, 1})) positions.push_back(item.positions);
    return positions;
  };
  const auto range = [](std::int64_t count) {
    std::vector<std::int64_t> values;
    for (std::int64_t i = 0; i < count; ++i) values.push_back(i);
    return values;
  };
  const auto all = positions_of({200, 10, 201, 21});
  EXPECT_EQ(all[1], range(10));
  EXPECT_EQ(all[3].size(), 18U);
  EXPECT_EQ(all[0].size(), 18U);
  EXPECT_EQ(all[2].size(), 18U) << "(64 - 10) / 3";
  for (const auto& [places, length] : {std::pair(all[0], 200), std::pair(all[2], 201), std::pair(all[3], 21)}) {
    EXPECT_TRUE(std::ranges::adjacent_find(places, std::greater_equal<>()) == places.end());
    EXPECT_LT(places.front(), length / 20 + 1);
    EXPECT_GE(places.back(), length - length / 18 - 2);
    EXPECT_LT(places.back(), length - 1) << "each has a next token";
  }
  EXPECT_EQ(positions_of({64})[0], range(64));
  EXPECT_EQ(positions_of({65})[0].size(), 64U);
  EXPECT_EQ(positions_of({2, 62})[1], range(62));
  const auto many = positions_of(std::vector<std::size_t>(64, 2));
  EXPECT_EQ(many, std::vector(64, range(1)));
  EXPECT_EQ(refusal(ErrorKind::bad_input, [&] { positions_of(std::vector<std::size_t>(65, 2)); }),
            (folder / "text.json").string() +
                ": the texts have 65 sequences, expected at most 64: one position each with the model's vocabulary of "
                "1048575");
}

TEST(VerifyText, IsRefusedInASentence) {
  const ModelConfig config = read_model_config(checkpoint("tiny-a"));
  const TemporaryFolder folder;
  const fs::path file = folder / "text.json";
  const auto expect = [&](const std::string& text, const std::string& message) {
    write_bytes(file, text);
    EXPECT_EQ(refusal(ErrorKind::bad_input, [&] { text_cases(config, {&file, 1}); }), file.string() + ": " + message);
  };
  const std::string none = "holds no sequences, expected {\"sequences\": [{\"input_ids\": [...]}, ...]}";
  expect("{}", none);
  expect(R"({"sequences": []})", none);
  expect(R"({"sequences": {}})", none);
  expect("[]", "the document is an array, expected an object");
  expect(R"({"sequences": [[1, 2]]})", "sequences[0] is an array, expected an object");
  expect(R"({"sequences": [{"input_ids": [1, 2]}, {"ids": [1, 2]}]})", "sequences[1].input_ids is missing");
  expect(R"({"sequences": [{"input_ids": "1 2"}]})",
         "sequences[0].input_ids is \"1 2\", expected an array of token ids");
  for (const char* wrong : {"2048", "-1", "1.5", "18446744073709551615"})
    expect(std::string(R"({"sequences": [{"input_ids": [1, 2]}, {"input_ids": [1, 2, 3, )") + wrong + "]}]}",
           std::string("sequences[1].input_ids[3] is ") + wrong + ", expected a token id from 0 to 2047");
  expect(R"({"sequences": [{"input_ids": [1, 2012]}]})",
         "sequences[0].input_ids[1] is 2012, which stands for a picture; expected text alone");
  expect(R"({"sequences": [{"input_ids": [1]}]})",
         "sequences[0].input_ids has 1 token, expected from 2 to the model's 4096");
  expect(R"({"sequences": [{"input_ids": []}]})",
         "sequences[0].input_ids is an empty array, expected an array of token ids");
  expect(json{{"sequences", {{{"input_ids", std::vector<int>(4097, 1)}}}}}.dump(),
         "sequences[0].input_ids has 4097 tokens, expected from 2 to the model's 4096");
  write_bytes(file, "1 2 3");
  EXPECT_THAT(refusal(ErrorKind::bad_input,
                      [&] {
                        text_cases(config, {&file, 1});
                      }),
              testing::StartsWith(file.string() + ": is not valid JSON"));
}

TEST(VerifyQuality, IsAGateIfAsked) {
  const CommandResult passed = verify(package("tiny-a"), "tiny-a", {"--checks", "quality", "--max-kld", "1"});
  EXPECT_EQ(passed.exit_code, 0) << passed.out;
  const CommandResult failed = verify(package("tiny-a"), "tiny-a", {"--checks", "quality", "--max-kld", "0.01"});
  EXPECT_EQ(failed.exit_code, kVerificationFailed);
  EXPECT_THAT(failed.out, HasSubstr("nats, more than the 0.01 of --max-kld\n"));
  EXPECT_THAT(failed.out, HasSubstr(" is NOT what it should be: "));
}

TEST(VerifyNumerics, HoldsToTheToleranceThatIsAskedFor) {
  const json report =
      verify_json(package("tiny-a"), "tiny-a", {"--checks", "numerics", "--tolerance", "1e-7"}, kVerificationFailed);
  EXPECT_THAT(joined(report["numerics"]["findings"]), HasSubstr("more than the tolerance 1e-07"));
}

// ---- Measures -------------------------------------------------------------------------------------------------------

TEST(Measure, ScaledErrorIsOfTheLargestScale) {
  const auto error = [](std::vector<float> found, std::vector<float> expected) {
    return scaled_error(found, expected);
  };
  EXPECT_DOUBLE_EQ(error({0.5F, 0}, {0, 0}), 0.5);                  // small tensors: absolute
  EXPECT_DOUBLE_EQ(error({5, 5}, {3, 5}), 2 / std::sqrt(17.0));     // rms of 3 and 5
  EXPECT_DOUBLE_EQ(error({0, 0, 0, 20}, {0, 0, 0, 16}), 4.0 / 16);  // the value itself is above the rms, 8
  EXPECT_EQ(error({}, {}), 0);
  EXPECT_TRUE(std::isinf(error({NAN}, {0})));
  EXPECT_TRUE(std::isinf(error({1}, {1, 2})));
}

TEST(Measure, DivergenceAndLikenessAreThoseOfTheirDefinitions) {
  const std::vector<float> a = {1, 2, 3};
  const std::vector<float> b = {3, 2, 2.5F};
  EXPECT_NEAR(kl_divergence(a, b), naive_kld({1, 2, 3}, {3, 2, 2.5}), 1e-12);
  EXPECT_NEAR(kl_divergence(std::vector<float>{1001, 1002, 1003}, std::vector<float>{3, 2, 2.5F}),
              naive_kld({1, 2, 3}, {3, 2, 2.5}), 1e-9);
  EXPECT_TRUE(std::isnan(kl_divergence(std::vector<float>{1, NAN, 3}, b)));
  EXPECT_NEAR(negative_log_likelihood(b, 1), naive_nll({3, 2, 2.5}, 1), 1e-12);
  EXPECT_NEAR(negative_log_likelihood(std::vector<float>{1001, 1002}, 0), naive_nll({1, 2}, 0), 1e-9);
  EXPECT_EQ(argmax(b), 0);
  Likeness likeness;
  likeness.add(a, b);
  EXPECT_NEAR(likeness.cosine(), 14.5 / std::sqrt(14 * 19.25), 1e-12);
  EXPECT_NEAR(likeness.relative_error(), std::sqrt(4.25 / 19.25), 1e-12);
}

void expect_refusal(const std::vector<std::string>& arguments, int exit_code, const std::string& message) {
  std::vector<std::string> command = {Q3VL_EXPORT_BINARY, "verify"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  const CommandResult result = run_command(command);
  EXPECT_EQ(result.exit_code, exit_code) << result.out;
  EXPECT_THAT(result.err, testing::EndsWith("qwen3vl-export: " + message + "\n"));
  EXPECT_EQ(result.out, "");
}

TEST(VerifyRefusals, AreOneSentenceAndACode) {
  const std::string sound = package("tiny-a");
  const std::string source = checkpoint("tiny-a");
  const TemporaryFolder folder;
  const std::string empty = folder.path();
  expect_refusal({sound}, 2, "--checkpoint is required; see qwen3vl-export verify --help");
  expect_refusal({empty, "--checkpoint", source}, 3,
                 empty +
                     "/manifest.json: is missing; expected a package of this program, whose manifest records the "
                     "recipe that it was made with");
  expect_refusal({sound, "--checkpoint", empty}, 3, empty + "/config.json: cannot open: No such file or directory");
  expect_refusal({sound, "--checkpoint", source, "--checks", "graphs"}, 2,
                 "--checks names \"graphs\", expected graph, weights, numerics or quality");
  expect_refusal({sound, "--checkpoint", source, "--checks", "numerics", "--onnxruntime", empty + "/no.so"}, 2,
                 "ONNX Runtime cannot be opened: " + empty +
                     "/no.so: cannot open shared object file: No such file or directory; --onnxruntime or "
                     "Q3VL_ONNXRUNTIME_LIBRARY names one");
  expect_refusal({package("tiny-a", {"--components", "text"}), "--checkpoint", source, "--image", "cat.png"}, 2,
                 "--image cat.png: " + package("tiny-a", {"--components", "text"}).string() +
                     " is a text-only package, which sees no pictures");
  expect_refusal({sound, "--checkpoint", source, "--report", empty}, 2, "--report " + empty + ": is not a file");
  expect_refusal({sound, "--checkpoint", source, "--report", empty + "/none/page.html"}, 2,
                 "--report " + empty + "/none/page.html: there is no folder " + empty + "/none");
  expect_refusal({sound, "--checkpoint", source, "--checks", "graph,numerics", "--text", "a.json"}, 2,
                 "--text a.json: only quality looks at texts, which --checks leaves out");
  const std::string vision = package("tiny-a", {"--components", "vision"});
  expect_refusal({vision, "--checkpoint", source, "--checks", "quality", "--text", "a.json"}, 2,
                 "--text a.json: " + vision + " has no text decoder, which texts are for");
  expect_refusal({sound, "--checkpoint", source, "--checks", "quality", "-q", "--text", empty + "/a.json"}, 3,
                 empty + "/a.json: cannot open: No such file or directory");
  const std::string no_picture = source + "/config.json";
  const CommandResult result = verify(sound, "tiny-a", {"--image", no_picture});
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_THAT(result.err, HasSubstr("qwen3vl-export: " + no_picture + ": "));
}

}  // namespace
}  // namespace q3vl::verify_test
