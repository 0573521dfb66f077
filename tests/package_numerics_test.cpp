// Exported packages in ONNX Runtime against the LibTorch reference, on models with dimensions that nothing divides:
// untied, unsorted DeepStack taps, heads · head_dim ≠ hidden_size, blocks that overhang. The reference itself is held
// to Hugging Face's recorded values by reference_test.cpp.
#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <random>

#include "base/half.h"
#include "checkpoint/checkpoint.h"
#include "onnx/model_summary.h"
#include "reference/model.h"
#include "reference/vision.h"
#include "runtime/pipeline.h"
#include "support/command.h"
#include "support/odd_model.h"
#include "support/temporary_folder.h"
#include "synth/synth_checkpoint.h"
#include "tensors/tensor_reader.h"

namespace q3vl::package_numerics_test {
namespace {

namespace fs = std::filesystem;

// The project's promise for logits; features are held ten times closer to what they are made of.
constexpr double kLogitTolerance = 1e-4;
constexpr double kFeatureTolerance = 2e-5;

/// A prompt with pictures: their patches, and the ids that stand for them.
struct Case {
  std::vector<Grid> images;
  std::vector<Grid> videos;
  std::vector<std::int64_t> ids;
  std::vector<float> pixels;

  std::vector<Grid> grids() const {
    std::vector<Grid> all = images;
    all.insert(all.end(), videos.begin(), videos.end());
    return all;
  }
};

Case make_case(const ModelConfig& config, std::vector<Grid> images, std::vector<Grid> videos) {
  Case result{.images = std::move(images), .videos = std::move(videos), .ids = {}, .pixels = {}};
  std::mt19937 random(3);
  const auto text = [&](int count) {
    for (int i = 0; i < count; ++i) result.ids.push_back(static_cast<std::int64_t>(random() % 200));
  };
  const auto span = [&](std::int64_t placeholder, std::int64_t count) {
    result.ids.push_back(*config.vision_start_token_id);
    result.ids.insert(result.ids.end(), static_cast<std::size_t>(count), placeholder);
    result.ids.push_back(*config.vision_end_token_id);
  };
  text(5);
  for (const Grid& grid : result.images) {
    span(*config.image_token_id, grid.t * grid.h * grid.w / config.vision->merge_unit());
    text(3);
  }
  for (const Grid& grid : result.videos)
    for (std::int64_t frame = 0; frame < grid.t; ++frame) {
      text(2);  // the frame's timestamp
      span(*config.video_token_id, grid.h * grid.w / config.vision->merge_unit());
    }
  text(4);
  std::int64_t patches = 0;
  for (const Grid& grid : result.grids()) patches += grid.t * grid.h * grid.w;
  std::uniform_real_distribution<float> uniform(-1.0F, 1.0F);
  result.pixels.resize(static_cast<std::size_t>(patches * config.vision->patch_values()));
  for (float& value : result.pixels) value = uniform(random);
  return result;
}

at::Tensor tensor_of(const HostTensor& host) {
  const std::vector<float> values = host.to_float32();
  return at::from_blob(const_cast<float*>(values.data()), host.shape, at::kFloat).clone();
}

double max_difference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

HostTensor ints(Shape shape, const std::vector<std::int64_t>& values) {
  return HostTensor::of<std::int64_t>(std::move(shape), values);
}

HostTensor ints(const at::Tensor& tensor) {
  const at::Tensor packed = tensor.contiguous();
  return HostTensor::of<std::int64_t>(
      packed.sizes().vec(),
      std::span<const std::int64_t>(packed.data_ptr<std::int64_t>(), static_cast<std::size_t>(packed.numel())));
}

/// All pictures of a case through vision.onnx, by the graph's own face: one call.
at::Tensor features_of(const Pipeline& pipeline, const Case& c, const VisionConfig& vision) {
  std::vector<Patches> pictures;
  std::size_t at = 0;
  for (const Grid& grid : c.grids()) {
    const auto count = static_cast<std::size_t>(grid.t * grid.h * grid.w * vision.patch_values());
    pictures.push_back({{c.pixels.begin() + static_cast<std::ptrdiff_t>(at),
                         c.pixels.begin() + static_cast<std::ptrdiff_t>(at + count)},
                        grid});
    at += count;
  }
  return tensor_of(pipeline.encode_images(pictures));
}

class PackageNumerics : public testing::Test {
 protected:
  void make(const SynthOptions& options) {
    write_synthetic_checkpoint(options, folder_ / "checkpoint");
    config_ = read_model_config(folder_ / "checkpoint");
    checkpoint_ = std::make_unique<Checkpoint>(Checkpoint::open(folder_ / "checkpoint"));
  }

  fs::path exported(const std::string& name, std::vector<std::string> options) {
    options.insert(options.begin(), {Q3VL_EXPORT_BINARY, (folder_ / "checkpoint").string(), "-q", "-o",
                                     (folder_ / name).string(), "--layout", "genai"});
    const CommandResult result = run_command(options);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return folder_ / name;
  }

  /// Logits of every position of a case, by embedding.onnx and model.onnx in one call each.
  at::Tensor logits_of(const Pipeline& pipeline, const Case& c, const reference::Prompt& prompt) const {
    HostTensor features = HostTensor::zeros(DataType::float32, {0, config_.features_width()});
    if (!c.grids().empty()) {
      const at::Tensor found = features_of(pipeline, c, *config_.vision);
      features = HostTensor::of<float>(
          found.sizes().vec(),
          std::span<const float>(found.data_ptr<float>(), static_cast<std::size_t>(found.numel())));
    }
    const HostTensor embeds = pipeline.embed(ints(prompt.input_ids), features);
    KvCache cache = pipeline.decoder().make_cache(CacheMode::growing, 1, 0);
    return tensor_of(pipeline.decoder().decode(embeds, ints(prompt.attention_mask), ints(prompt.position_ids), cache));
  }

  void expect_equal_to_reference(const fs::path& package, const ModelConfig& reference_config,
                                 const reference::WeightProvider& weights) const {
    const Pipeline pipeline(OnnxRuntime(), package);
    const std::int64_t m = config_.vision->spatial_merge_size;
    const std::vector<Case> cases = {make_case(config_, {}, {}), make_case(config_, {{1, 2 * m, 3 * m}}, {}),
                                     make_case(config_, {{1, 4 * m, m}, {1, 2 * m, 5 * m}, {1, m, m}}, {}),
                                     make_case(config_, {{1, 3 * m, 2 * m}}, {{3, 2 * m, 2 * m}})};
    for (const Case& c : cases) {
      const std::vector<Grid> grids = c.grids();
      SCOPED_TRACE(testing::Message() << grids.size() << " pictures");
      const reference::Prompt prompt = reference::prompt_of(config_, c.ids, c.images, c.videos);
      std::optional<reference::VisionFeatures> vision;
      if (!grids.empty()) {
        const auto rows = static_cast<std::int64_t>(c.pixels.size()) / config_.vision->patch_values();
        vision = reference::vision_forward(
            *config_.vision, weights,
            at::from_blob(const_cast<float*>(c.pixels.data()), {rows, config_.vision->patch_values()}, at::kFloat),
            grids);
        std::vector<at::Tensor> parts = {vision->features};
        parts.insert(parts.end(), vision->deepstack.begin(), vision->deepstack.end());
        const at::Tensor expected = at::cat(parts, 1);
        EXPECT_LE(max_difference(features_of(pipeline, c, *config_.vision), expected),
                  kFeatureTolerance * std::max(1.0, expected.abs().max().item<double>()));
      }
      const at::Tensor expected =
          reference::prompt_logits(reference_config, weights, prompt, vision ? &*vision : nullptr);
      const at::Tensor found = logits_of(pipeline, c, prompt);
      ASSERT_EQ(found.sizes(), expected.sizes());
      EXPECT_LE(max_difference(found, expected), kLogitTolerance);
      EXPECT_GT(expected.std().item<double>(), 0.1) << "logits so flat say nothing";
    }
  }

  /// Greedy tokens, and the logits that chose them, are the same over a growing and a shared cache.
  void expect_equal_caches(const fs::path& package) const {
    const Pipeline pipeline(OnnxRuntime(), package);
    const Case c = make_case(config_, {}, {});
    const Generation growing =
        pipeline.generate({.input_ids = c.ids, .pictures = {}}, {.max_new_tokens = 12, .cache = CacheMode::growing});
    const Generation shared =
        pipeline.generate({.input_ids = c.ids, .pictures = {}}, {.max_new_tokens = 12, .cache = CacheMode::shared});
    EXPECT_EQ(growing.tokens, shared.tokens);
    EXPECT_GE(growing.tokens.size(), 1U);
    ASSERT_EQ(growing.logits.size(), shared.logits.size());
    for (std::size_t i = 0; i < growing.logits.size(); ++i)
      for (std::size_t v = 0; v < growing.logits[i].size(); ++v)
        ASSERT_NEAR(growing.logits[i][v], shared.logits[i][v], 1e-4);
  }

  TemporaryFolder folder_;
  ModelConfig config_{};
  std::unique_ptr<Checkpoint> checkpoint_;
};

using Initializers = std::map<std::string, InitializerSummary>;

Initializers initializers_of(const fs::path& model) {
  Initializers initializers;
  for (const InitializerSummary& item : read_model_summary(model).initializers) initializers.emplace(item.name, item);
  return initializers;
}

/// A block-quantised weight of a package, read byte by byte as ONNX Runtime documents it.
class StoredBlocks {
 public:
  /// `codes` is the initializer of the codes, `weight` the checkpoint's name.
  StoredBlocks(const fs::path& package, const Initializers& initializers, const std::string& codes,
               const std::string& weight, int bits, const std::string& use = "")
      : bits_(bits), blocks_(initializers.at(weight + ".scales" + use).shape[1]) {
    const auto bytes_of = [&](const std::string& name) {
      const auto& external = *initializers.at(name).external;
      return read_bytes(package / external.location).substr(external.offset, external.length);
    };
    codes_ = bytes_of(codes);
    scales_ = bytes_of(weight + ".scales" + use);
    if (initializers.contains(weight + ".zero_points" + use)) zero_points_ = bytes_of(weight + ".zero_points" + use);
    const Shape& shape = initializers.at(codes).shape;
    row_bytes_ = element_count(shape) / shape[0];
    block_size_ = row_bytes_ * 8 / bits / blocks_;
  }

  float value(std::int64_t row, std::int64_t column) const {
    const std::int64_t block = column / block_size_;
    const int code = entry(codes_, row * row_bytes_, column);
    const int zero_point = zero_points_.empty() ? 1 << (bits_ - 1) : entry(zero_points_, row * zero_bytes(), block);
    std::uint16_t scale = 0;
    std::memcpy(&scale, scales_.data() + (row * blocks_ + block) * 2, 2);
    return static_cast<float>(code - zero_point) * float16_to_float32(scale);
  }

 private:
  std::int64_t zero_bytes() const { return (blocks_ * bits_ + 7) / 8; }

  /// Entry `index` of packed numbers that begin at byte `begin`, low bits first.
  int entry(const std::string& packed, std::int64_t begin, std::int64_t index) const {
    const auto byte = static_cast<unsigned char>(packed[static_cast<std::size_t>(begin + index * bits_ / 8)]);
    return byte >> (index * bits_ % 8) & ((1 << bits_) - 1);
  }

  int bits_;
  std::int64_t blocks_;
  std::int64_t row_bytes_ = 0;
  std::int64_t block_size_ = 0;
  std::string codes_, scales_, zero_points_;
};

/// The weights that a package holds, by checkpoint name: block-quantised ones as (code − zero point) · scale, all
/// others from the checkpoint.
reference::WeightProvider package_weights(const fs::path& package, const Checkpoint& checkpoint,
                                          const std::string& graph, bool tied) {
  std::map<std::string, at::Tensor> quantized;
  const Initializers initializers = initializers_of(package / graph);
  for (const auto& [name, item] : initializers) {
    const std::size_t dot = name.rfind(".int");
    if (dot == std::string::npos) continue;
    const std::string weight = name.substr(0, dot);
    const StoredBlocks stored(package, initializers, name, weight, std::stoi(name.substr(dot + 4)));
    const Shape& shape = checkpoint.find(weight)->shape;
    at::Tensor values = at::empty(shape, at::kFloat);
    auto* out = values.data_ptr<float>();
    for (std::int64_t row = 0; row < shape[0]; ++row)
      for (std::int64_t column = 0; column < shape[1]; ++column) *out++ = stored.value(row, column);
    quantized[tied && weight == "model.language_model.embed_tokens.weight" ? "lm_head.weight" : weight] = values;
  }
  EXPECT_GT(quantized.size(), 5U);
  const reference::WeightProvider stored = reference::checkpoint_weights(checkpoint);
  return [=](const std::string& name) { return quantized.contains(name) ? quantized.at(name) : stored(name); };
}

TEST_F(PackageNumerics, AnUntiedOddModelInFp32) {
  make(odd_model(2));
  expect_equal_to_reference(exported("fp32", {"--recipe", "fp32", "--logits", "all"}), config_,
                            reference::checkpoint_weights(*checkpoint_));
}

TEST_F(PackageNumerics, MergersOfThreeByThree) {
  make(odd_model(3));
  expect_equal_to_reference(exported("fp32", {"--recipe", "fp32", "--logits", "all"}), config_,
                            reference::checkpoint_weights(*checkpoint_));
}

TEST_F(PackageNumerics, WithoutDeepStack) {
  SynthOptions options = odd_model(2);
  options.model.vision.deepstack_visual_indexes.clear();
  make(options);
  expect_equal_to_reference(exported("fp32", {"--recipe", "fp32", "--logits", "all"}), config_,
                            reference::checkpoint_weights(*checkpoint_));
}

/// Accuracy level 0 multiplies in float32, so that what differs is the graph alone. int8 and int2 are refused there,
/// being slow: their activations are int8.
std::vector<std::string> float_recipe(const TemporaryFolder& folder, int block_size, bool symmetric) {
  const std::string path = folder / "float.json";
  std::ofstream(path) << fmt::format(
      R"({{"target": "cpu", "text": {{"precision": "int4", "block_size": {}, "symmetric": {}, "accuracy_level": 0,
          "logits": "all"}}, "embedding": {{"precision": "fp32"}}, "vision": {{"precision": "fp32"}}}})",
      block_size, symmetric);
  return {"--recipe", path};
}

TEST_F(PackageNumerics, Int4IsTheFloatPathOnDequantizedWeights) {
  make(odd_model(2));
  for (const int block_size : {16, 32, 128}) {
    SCOPED_TRACE(block_size);
    const fs::path package =
        exported("int4_" + std::to_string(block_size), float_recipe(folder_, block_size, block_size == 32));
    expect_equal_to_reference(package, config_, package_weights(package, *checkpoint_, "model.onnx", false));
  }
}

TEST_F(PackageNumerics, ATiedInt4HeadIsTheFloatPathOnDequantizedWeights) {
  SynthOptions options{.model = synth_preset("tiny")};
  make(options);
  ASSERT_TRUE(config_.text.tie_word_embeddings);
  const fs::path package = exported("int4", float_recipe(folder_, 32, false));
  ModelConfig untied = config_;  // the package's head is quantised, its embedding is not
  untied.text.tie_word_embeddings = false;
  expect_equal_to_reference(package, untied, package_weights(package, *checkpoint_, "model.onnx", true));
}

TEST_F(PackageNumerics, AQuantizedEmbeddingIsLookedUpExactly) {
  make(odd_model(2));
  for (const int bits : {2, 4, 8}) {
    const std::string precision = fmt::format("int{}", bits);
    const fs::path package = exported(precision, {"--embedding", precision});
    const Initializers initializers = initializers_of(package / "embedding.onnx");
    const std::string name = "model.language_model.embed_tokens.weight";
    const StoredBlocks stored(package, initializers, name + "." + precision + ".rows", name, bits, ".rows");
    const Pipeline pipeline(OnnxRuntime(), package);
    const std::vector<std::int64_t> ids = {0, 7, 150};
    const at::Tensor rows = tensor_of(pipeline.embed(
        ints({1, 3}, ids), HostTensor::zeros(DataType::float32, {0, config_.features_width()})));  // [1, 3, (1+D)·H]
    for (std::size_t i = 0; i < ids.size(); ++i)
      for (std::int64_t column = 0; column < config_.features_width(); ++column) {
        // The DeepStack levels of a text token are zeros.
        const float expected = column < config_.text.hidden_size ? stored.value(ids[i], column) : 0.0F;
        ASSERT_EQ(rows[0][static_cast<std::int64_t>(i)][column].item<float>(), expected)
            << precision << " id " << ids[i] << " column " << column;
      }
  }
}

TEST_F(PackageNumerics, TheShippedInt4PackageDecodesWithBothCaches) {
  make(odd_model(2));
  for (const char* type : {"float", "int8"}) {
    SCOPED_TRACE(type);
    expect_equal_caches(exported(type, {"--max-length", "64", "--kv-cache", type}));
  }
}

/// Decodes a random prompt of text, then some of its own tokens one by one, over a shared cache.
class TextRun {
 public:
  static constexpr std::int64_t kSteps = 6;

  TextRun(const fs::path& package, const std::vector<std::int64_t>& ids) : pipeline_(OnnxRuntime(), package) {
    const auto length = static_cast<std::int64_t>(ids.size());
    cache_ = pipeline_.decoder().make_cache(CacheMode::shared, 1, length);
    feed(ids, 0, length - kSteps);
    for (std::int64_t place = length - kSteps; place < length; ++place) logits_.push_back(feed(ids, place, place + 1));
  }

  /// [kSteps, vocab].
  at::Tensor logits() const { return at::stack(logits_); }
  const std::vector<HostTensor>& keys() const { return cache_.shared_keys; }
  const std::vector<HostTensor>& values() const { return cache_.shared_values; }

 private:
  at::Tensor feed(const std::vector<std::int64_t>& ids, std::int64_t begin, std::int64_t end) {
    const at::Tensor tokens = at::tensor(ids).slice(0, begin, end).unsqueeze(0);
    const at::Tensor positions = at::arange(begin, end).unsqueeze(0);
    const at::Tensor mask = at::ones({1, end}, at::kLong);
    return tensor_of(pipeline_.decoder().decode(ints(tokens), ints(mask), ints(positions), cache_))[0][-1];
  }

  Pipeline pipeline_;
  KvCache cache_{};
  std::vector<at::Tensor> logits_;
};

/// An int8 tensor.
at::Tensor codes_of(const HostTensor& host) {
  EXPECT_EQ(host.type, DataType::int8);
  return at::from_blob(const_cast<std::byte*>(host.bytes.data()), host.shape, at::kChar).to(at::kFloat);
}

TEST_F(PackageNumerics, AnInt8CacheIsTheFloatOneInStepsOfItsScales) {
  make(odd_model(2));
  std::vector<std::int64_t> ids;
  std::mt19937 random(8);
  for (int i = 0; i < 40; ++i) ids.push_back(static_cast<std::int64_t>(random() % 200));
  const reference::WeightProvider weights = reference::checkpoint_weights(*checkpoint_);
  const TextConfig& text = config_.text;
  for (const char* recipe : {"fp32", "w8a8"}) {
    SCOPED_TRACE(recipe);
    const auto package = [&](const char* type) {
      return exported(std::string(recipe) + type, {"--components", "text", "--recipe", recipe, "--kv-cache", type});
    };
    const TextRun floats(package("float"), ids);
    const TextRun integers(package("int8"), ids);
    for (std::int64_t layer = 0; layer < text.num_hidden_layers; ++layer) {
      SCOPED_TRACE(layer);
      const std::string path = fmt::format("model.language_model.layers.{}.", layer);
      const at::Tensor gain = weights(path + "self_attn.k_norm.weight").to(at::kFloat).abs();
      const at::Tensor larger = at::maximum(gain, gain.roll(text.head_dim / 2));
      const at::Tensor key_scales = larger * (std::sqrt(static_cast<double>(text.head_dim)) / 127);
      const at::Tensor norm = weights(path + "input_layernorm.weight").to(at::kFloat);
      const at::Tensor lengths = (weights(path + "self_attn.v_proj.weight").to(at::kFloat) * norm).norm(2, 1);
      const at::Tensor value_scales = (lengths * (12.0 / 127)).reshape({text.num_key_value_heads, 1, text.head_dim});
      const auto index = static_cast<std::size_t>(layer);
      const auto off = [&](const HostTensor& found, const HostTensor& kept, const at::Tensor& scales) {
        const at::Tensor codes = codes_of(found);
        EXPECT_GT(codes.abs().max().item<double>(), 20) << "scales so coarse leave little";
        return codes - tensor_of(kept) / scales;
      };
      for (const at::Tensor& error : {off(integers.keys()[index], floats.keys()[index], key_scales),
                                      off(integers.values()[index], floats.values()[index], value_scales)}) {
        // Rounding alone in the first layer, 0.29 of a step; behind it the layers' inputs differ a little too.
        EXPECT_LE(error.abs().max().item<double>(), layer == 0 ? 0.501 : 10.0);
        EXPECT_LE(error.square().mean().sqrt().item<double>(), layer == 0 ? 0.31 : 1.5);
      }
    }
    const at::Tensor expected = floats.logits();
    const double error = ((integers.logits() - expected).norm() / expected.norm()).item<double>();
    EXPECT_LE(error, 0.08);  // random weights: what is trained loses far less
    EXPECT_GT(error, 0);
  }
}

TEST_F(PackageNumerics, TextAloneEqualsTheReference) {
  make(odd_model(2));
  const fs::path package = exported("text", {"--components", "text", "--recipe", "fp32", "--logits", "all"});
  const Pipeline pipeline(OnnxRuntime(), package);
  const Case c = make_case(config_, {}, {});
  const reference::Prompt prompt = reference::prompt_of(config_, c.ids, {}, {});
  const at::Tensor expected =
      reference::prompt_logits(config_, reference::checkpoint_weights(*checkpoint_), prompt, nullptr);
  KvCache cache = pipeline.decoder().make_cache(CacheMode::growing, 1, 0);
  const at::Tensor found = tensor_of(pipeline.decoder().decode(ints(prompt.input_ids), ints(prompt.attention_mask),
                                                               ints(prompt.position_ids[0]), cache));
  EXPECT_LE(max_difference(found, expected), kLogitTolerance);
  // Decoding on from there: the last token again as a step of its own.
  const auto length = static_cast<std::int64_t>(c.ids.size());
  const std::vector<std::int64_t> all(c.ids.size() + 1, 1);
  std::vector<std::int64_t> longer = c.ids;
  longer.push_back(11);
  const reference::Prompt next = reference::prompt_of(config_, longer, {}, {});
  const at::Tensor whole =
      reference::prompt_logits(config_, reference::checkpoint_weights(*checkpoint_), next, nullptr);
  const at::Tensor step = tensor_of(
      pipeline.decoder().decode(ints({1, 1}, {11}), ints({1, length + 1}, all), ints({1, 1}, {length}), cache));
  EXPECT_LE(max_difference(step[0][0], whole[0][length]), kLogitTolerance);
}

/// The extracted language model, exported, against the reference on the checkpoint that it was taken from, and on
/// itself.
TEST_F(PackageNumerics, AnExtractedLanguageModelEqualsTheReference) {
  for (const bool tied : {false, true}) {
    SynthOptions options = odd_model(2);
    options.model.text.tie_word_embeddings = tied;
    make(options);
    const fs::path whole = folder_ / "checkpoint";
    const fs::path plain = folder_ / "plain";
    const fs::path package = folder_ / "package";
    CommandResult result = run_command(
        {Q3VL_EXPORT_BINARY, "extract", whole.string(), "-o", plain.string(), "--module", "language_model", "-q"});
    ASSERT_EQ(result.exit_code, 0) << result.err;
    result = run_command(
        {Q3VL_EXPORT_BINARY, plain.string(), "-o", package.string(), "--recipe", "fp32", "--logits", "all", "-q"});
    ASSERT_EQ(result.exit_code, 0) << result.err;

    const Case c = make_case(config_, {}, {});
    const reference::Prompt prompt = reference::prompt_of(config_, c.ids, {}, {});
    const at::Tensor expected =
        reference::prompt_logits(config_, reference::checkpoint_weights(*checkpoint_), prompt, nullptr);
    EXPECT_GT(expected.std().item<double>(), 0.1) << "logits so flat say nothing";
    const Pipeline pipeline(OnnxRuntime(), package);
    KvCache cache = pipeline.decoder().make_cache(CacheMode::growing, 1, 0);
    const at::Tensor found = tensor_of(pipeline.decoder().decode(ints(prompt.input_ids), ints(prompt.attention_mask),
                                                                 ints(prompt.position_ids[0]), cache));
    ASSERT_EQ(found.sizes(), expected.sizes());
    EXPECT_LE(max_difference(found, expected), kLogitTolerance);

    const ModelConfig config = read_model_config(plain);
    const Checkpoint checkpoint = Checkpoint::open(plain);
    const reference::Prompt same = reference::prompt_of(config, c.ids, {}, {});
    EXPECT_TRUE(same.position_ids.equal(prompt.position_ids));
    const at::Tensor itself =
        reference::prompt_logits(config, reference::checkpoint_weights(checkpoint), same, nullptr);
    EXPECT_TRUE(itself.equal(expected));
    for (const fs::path& folder : {whole, plain, package}) fs::remove_all(folder);
  }
}

}  // namespace
}  // namespace q3vl::package_numerics_test
