// verify: sound packages are proven, and reports say what was compared. What is expected is written here by hand or
// computed by the reference.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "checkpoint/checkpoint.h"
#include "reference/model.h"
#include "runtime/pipeline.h"
#include "support/verified_packages.h"
#include "verify/cases.h"
#include "verify/measure.h"

namespace q3vl {
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
                    Sound{"tiny-a", {"--logits", "all"}}, Sound{"tiny-a", {"--components", "text"}},
                    Sound{"tiny-a", {"--components", "text", "--embedding", "int4", "--logits", "all"}},
                    Sound{"tiny-a", {"--components", "vision"}}, Sound{"tiny-a", {"--components", "vision,text"}},
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

// The same cases through the runtime's pipeline, whose graph gives logits at all positions, and the reference's own
// functions: nothing of the code that measures is used.
TEST(VerifyQuality, IsWhatThePipelineAndTheReferenceGive) {
  const Flags flags = {"--logits", "all"};
  const json report = verify_json(package("tiny-a", flags), "tiny-a", {"--checks", "quality"}, 0);
  const ModelConfig config = read_model_config(checkpoint("tiny-a"));
  const Checkpoint stored = Checkpoint::open(checkpoint("tiny-a"));
  const auto weights = reference::checkpoint_weights(stored);
  const Pipeline pipeline(OnnxRuntime(), package("tiny-a", flags));
  double sum = 0;
  std::size_t count = 0;
  std::size_t same = 0;
  for (const VerifyCase& item : verify_cases(config, true, {}, {})) {
    std::vector<Patches> pictures;
    std::vector<Grid> images;
    std::vector<Grid> videos;
    std::vector<at::Tensor> pixels;
    for (const PromptPicture& picture : item.prompt.pictures) {
      pictures.push_back(picture.patches);
      (picture.video ? videos : images).push_back(picture.patches.grid);
      pixels.push_back(at::tensor(picture.patches.pixel_values).reshape({picture.patches.grid.patches(), -1}));
    }
    const reference::Prompt prompt = reference::prompt_of(config, item.prompt.input_ids, images, videos);
    std::vector<Grid> grids = images;
    grids.insert(grids.end(), videos.begin(), videos.end());
    std::optional<reference::VisionFeatures> vision;
    if (!grids.empty()) vision = reference::vision_forward(*config.vision, weights, at::cat(pixels), grids);
    const at::Tensor expected = reference::prompt_logits(config, weights, prompt, vision ? &*vision : nullptr)[0];

    const auto length = static_cast<std::int64_t>(item.prompt.input_ids.size());
    const HostTensor ids = HostTensor::of<std::int64_t>({1, length}, item.prompt.input_ids);
    const at::Tensor positions = prompt.position_ids.contiguous();
    KvCache cache = pipeline.decoder().make_cache(CacheMode::growing, 1, 0);
    const HostTensor logits = pipeline.decoder().decode(
        pipeline.embed(ids, pipeline.encode_images(pictures)),
        HostTensor::of<std::int64_t>({1, length}, std::vector<std::int64_t>(static_cast<std::size_t>(length), 1)),
        HostTensor::of<std::int64_t>({3, 1, length},
                                     {positions.data_ptr<std::int64_t>(), static_cast<std::size_t>(positions.numel())}),
        cache);
    const at::Tensor found = at::tensor(logits.to_float32()).reshape({length, -1});
    ASSERT_EQ(item.positions.size(), static_cast<std::size_t>(length)) << "these prompts are short";
    for (std::int64_t place = 0; place < length; ++place) {
      const auto row = [&](const at::Tensor& all) {
        const at::Tensor values = all[place].to(at::kDouble).contiguous();
        return std::vector<double>(values.data_ptr<double>(), values.data_ptr<double>() + values.numel());
      };
      sum += naive_kld(row(found), row(expected));
      same += found[place].argmax().item<std::int64_t>() == expected[place].argmax().item<std::int64_t>() ? 1U : 0U;
      ++count;
    }
  }
  EXPECT_EQ(report["quality"]["positions"].size(), count);
  EXPECT_NEAR(report["quality"]["mean_kld"].get<double>(), sum / static_cast<double>(count), 1e-5);
  EXPECT_NEAR(report["quality"]["top1_agreement"].get<double>(), static_cast<double>(same) / static_cast<double>(count),
              1e-9);
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
                     "/no.so: cannot open shared object file: No such file or directory; tools/setup fetches it, and "
                     "--onnxruntime names another");
  expect_refusal({package("tiny-a", {"--components", "text"}), "--checkpoint", source, "--image", "cat.png"}, 2,
                 "--image cat.png: " + package("tiny-a", {"--components", "text"}).string() +
                     " is a text-only package, which sees no pictures");
  expect_refusal({sound, "--checkpoint", source, "--report", empty}, 2, "--report " + empty + ": is not a file");
  expect_refusal({sound, "--checkpoint", source, "--report", empty + "/none/page.html"}, 2,
                 "--report " + empty + "/none/page.html: there is no folder " + empty + "/none");
  const std::string no_picture = source + "/config.json";
  const CommandResult result = verify(sound, "tiny-a", {"--image", no_picture});
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_THAT(result.err, HasSubstr("qwen3vl-export: " + no_picture + ": "));
}

}  // namespace
}  // namespace q3vl
