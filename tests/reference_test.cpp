// The reference against Hugging Face's recordings, hidden state by hidden state.
#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <numeric>
#include <optional>
#include <set>

#include "checkpoint/checkpoint.h"
#include "config/model_config.h"
#include "reference/model.h"
#include "support/refusal.h"
#include "support/test_data.h"

namespace q3vl::reference::reference_test {
namespace {

using test::max_difference;
using test::Recorded;
using test::recorded;

constexpr double kVisionTolerance = 2e-5;
constexpr double kTextTolerance = 1e-4;

struct TinyModel {
  ModelConfig config = read_model_config(test::data_path("tiny-a/checkpoint"));
  Checkpoint checkpoint = Checkpoint::open(test::data_path("tiny-a/checkpoint"));
  WeightProvider weights = checkpoint_weights(checkpoint);
};

/// Writes a measured difference into the test's XML report.
void report(double difference) {
  testing::Test::RecordProperty("max_difference", fmt::format("{:.2e}", difference));
}

/// Holds every observed value that was recorded against the recording, and remembers the names.
class Comparison {
 public:
  using Select = std::function<at::Tensor(const std::string& name, const at::Tensor& value)>;

  /// `select` picks the part of a value that counts; without it, all of it does.
  Comparison(const Recorded& expected, double tolerance, Select select = {})
      : expected_(expected), tolerance_(tolerance), select_(std::move(select)) {}

  void check(const std::string& name, const at::Tensor& value) {
    if (!expected_.has(name)) return;
    const auto part = [&](const at::Tensor& whole) { return select_ ? select_(name, whole) : whole; };
    const double difference = max_difference(part(value), part(expected_[name]));
    EXPECT_LE(difference, tolerance_) << name;
    largest_ = std::max(largest_, difference);
    compared_.insert(name);
  }

  /// The recorded names that were not compared.
  std::set<std::string> rest() const {
    std::set<std::string> rest;
    for (const std::string& name : expected_.names())
      if (!compared_.contains(name)) rest.insert(name);
    return rest;
  }

  double largest() const { return largest_; }

 private:
  const Recorded& expected_;
  double tolerance_;
  Select select_;
  double largest_ = 0;
  std::set<std::string> compared_;
};

class Vision : public testing::TestWithParam<const char*> {};

TEST_P(Vision, EveryHiddenStateIsTheRecordedOne) {
  const TinyModel model;
  const Recorded expected = recorded(GetParam());
  Comparison comparison(expected, kVisionTolerance);
  vision_forward(*model.config.vision, model.weights, expected["pixel_values"], expected.grids("grid_thw"),
                 [&](const std::string& name, const at::Tensor& value) { comparison.check(name, value); });
  report(comparison.largest());
  // The rest are the inputs, and what the next test compares.
  EXPECT_EQ(comparison.rest(), (std::set<std::string>{"pixel_values", "grid_thw", "rope_position_ids", "cu_seqlens",
                                                      "bilinear_indices", "bilinear_weights"}));
}

TEST_P(Vision, PositionsAreEqualToTheLastBit) {
  const TinyModel model;
  const Recorded expected = recorded(GetParam());
  const std::vector<Grid> grids = expected.grids("grid_thw");
  const VisionConfig& config = *model.config.vision;
  EXPECT_TRUE(patch_positions(grids, config.spatial_merge_size).equal(expected["rope_position_ids"]));
  const BilinearCorners corners = bilinear_corners(grids, config.position_table_side(), config.spatial_merge_size);
  EXPECT_TRUE(corners.indices.equal(expected["bilinear_indices"].to(at::kLong)));
  EXPECT_TRUE(corners.weights.equal(expected["bilinear_weights"]));
}

INSTANTIATE_TEST_SUITE_P(Recorded, Vision, testing::Values("v1", "v2", "v3"));

TEST(VisionDeepStack, FeaturesComeInOrderOfLayersWhateverTheListsOrder) {
  const TinyModel model;
  const Recorded expected = recorded("v1");
  VisionConfig config = *model.config.vision;
  config.deepstack_visual_indexes = {1, 0, 2};
  // With the mergers of layers 0 and 1 in each other's place, the same features in the same order are due.
  const WeightProvider swapped = [&](const std::string& name) {
    const std::string list = "model.visual.deepstack_merger_list.";
    if (name.starts_with(list + "0")) return model.weights(list + "1" + name.substr(list.size() + 1));
    if (name.starts_with(list + "1")) return model.weights(list + "0" + name.substr(list.size() + 1));
    return model.weights(name);
  };
  const VisionFeatures found = vision_forward(config, swapped, expected["pixel_values"], expected.grids("grid_thw"));
  ASSERT_EQ(found.deepstack.size(), 3U);
  for (std::size_t level = 0; level < 3; ++level)
    EXPECT_LE(max_difference(found.deepstack[level], expected[fmt::format("deepstack_{}", level)]), kVisionTolerance);
}

TEST(VisionGrids, ThatDoNotAddUpToThePixelsAreRefused) {
  const TinyModel model;
  const std::vector<Grid> grids{{1, 4, 4}};
  EXPECT_EQ(refusal(ErrorKind::bad_input,
                    [&] {
                      vision_forward(*model.config.vision, model.weights, at::zeros({15, 1536}), grids);
                    }),
            "pixel_values has the shape [15, 1536], expected [16, 1536] from the grids");
}

/// A recording of the text model, and the vision recordings whose first patches were its pixel_values.
struct TextCase {
  const char* name;
  std::vector<std::pair<const char*, std::int64_t>> pixels;
};

std::ostream& operator<<(std::ostream& out, const TextCase& text_case) {
  return out << text_case.name;
}

/// The tower's output for the pictures of `text_case`; nothing when it has none.
std::optional<VisionFeatures> features_of(const TinyModel& model, const TextCase& text_case, const Recorded& expected) {
  if (text_case.pixels.empty()) return std::nullopt;
  std::vector<at::Tensor> rows;
  for (const auto& [name, count] : text_case.pixels) rows.push_back(recorded(name)["pixel_values"].narrow(0, 0, count));
  std::vector<Grid> grids = expected.grids("image_grid_thw");
  if (grids.empty()) grids = expected.grids("video_grid_thw");
  return vision_forward(*model.config.vision, model.weights, at::cat(rows), grids);
}

class Text : public testing::TestWithParam<TextCase> {};

TEST_P(Text, EveryHiddenStateIsTheRecordedOne) {
  const TinyModel model;
  const Recorded expected = recorded(GetParam().name);
  const std::optional<VisionFeatures> vision = features_of(model, GetParam(), expected);
  const Prompt prompt{expected["input_ids"], expected["attention_mask"], expected["position_ids"]};

  // No client may use what stands at padded positions: only attended ones count.
  const at::Tensor attended = prompt.attention_mask.to(at::kBool);
  Comparison comparison(expected, kTextTolerance, [&](const std::string& name, const at::Tensor& value) {
    const bool per_head = name.starts_with("present_");
    return (per_head ? value.transpose(1, 2) : value).index({attended});  // [B, heads, S, d] -> [B, S, heads, d]
  });
  const std::string last_layer = fmt::format("layer_{}_out", model.config.text.num_hidden_layers - 1);
  const auto observe = [&](const std::string& name, const at::Tensor& value) {
    comparison.check(name == last_layer ? "last_layer_out" : name, value);
  };
  observe("logits", prompt_logits(model.config, model.weights, prompt, vision ? &*vision : nullptr, observe));
  report(comparison.largest());

  std::set<std::string> rest = comparison.rest();
  if (vision) {
    const TextInput input = embed_prompt(model.config, model.weights, prompt, &*vision);
    EXPECT_TRUE(input.visual_mask.equal(expected["visual_pos_masks"]));
    for (std::size_t level = 0; level < input.deepstack.size(); ++level) {
      const std::string name = fmt::format("deepstack_visual_embeds_{}", level);
      EXPECT_LE(max_difference(input.deepstack[level], expected[name]), kVisionTolerance);
      rest.erase(name);
    }
  }
  for (const char* input : {"input_ids", "attention_mask", "mm_token_type_ids", "image_grid_thw", "video_grid_thw",
                            "position_ids", "rope_deltas", "visual_pos_masks"})
    rest.erase(input);
  EXPECT_EQ(rest, std::set<std::string>{}) << "recorded, but not compared";
}

INSTANTIATE_TEST_SUITE_P(Recorded, Text,
                         testing::Values(TextCase{"t1", {}}, TextCase{"t2", {{"v1", 96}}},
                                         TextCase{"t3", {{"v2", 116}}}, TextCase{"t4", {{"v3", 192}}},
                                         TextCase{"t6r", {{"v1", 96}, {"v2", 60}}}));

TEST(TextFeatures, MustBeAsManyAsThePlaceholders) {
  const TinyModel model;
  const Recorded expected = recorded("t2");
  const Prompt prompt{expected["input_ids"], expected["attention_mask"], expected["position_ids"]};
  EXPECT_EQ(refusal(ErrorKind::bad_input, [&] { prompt_logits(model.config, model.weights, prompt, nullptr); }),
            "the prompt has 24 image and video placeholders, but there are 0 visual features");
}

class Greedy : public testing::TestWithParam<TextCase> {};

TEST_P(Greedy, SixteenTokensWithTheCache) {
  const TinyModel model;
  const Recorded expected = recorded(GetParam().name);
  const std::optional<VisionFeatures> vision = features_of(model, GetParam(), expected);
  const Prompt prompt = prompt_of(model.config, expected.integers("input_ids"), expected.grids("image_grid_thw"), {});
  const Generation found = greedy_generate(model.config, model.weights, prompt, vision ? &*vision : nullptr, 16);
  EXPECT_EQ(found.tokens, expected.integers("generated"));
  const double difference = max_difference(found.logits, expected["step_logits"][0]);
  EXPECT_LE(difference, kTextTolerance);
  report(difference);
}

INSTANTIATE_TEST_SUITE_P(Recorded, Greedy, testing::Values(TextCase{"t5", {{"v1", 96}}}, TextCase{"t5b", {}}));

/// An untied language model of unrelated sizes: heads · head_dim is not hidden_size, and no block of 4 divides the
/// widths.
TextConfig odd_config() {
  return {.module = "model.language_model",
          .vocab_size = 37,
          .hidden_size = 22,
          .intermediate_size = 29,
          .num_hidden_layers = 2,
          .num_attention_heads = 6,
          .num_key_value_heads = 2,
          .head_dim = 10,
          .max_position_embeddings = 64,
          .rms_norm_eps = 1e-6,
          .rope_theta = 10000,
          .mrope_section = {2, 2, 1},
          .rope_scaling = {},
          .tie_word_embeddings = false};
}

std::map<std::string, at::Tensor> odd_weights() {
  const TextConfig c = odd_config();
  const std::int64_t q = c.num_attention_heads * c.head_dim;
  const std::int64_t kv = c.num_key_value_heads * c.head_dim;
  const at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(7);
  std::map<std::string, at::Tensor> weights;
  const auto add = [&](const std::string& name, at::IntArrayRef shape) {
    weights[name] = at::randn(shape, generator) * 0.3;
  };
  add("lm_head.weight", {c.vocab_size, c.hidden_size});
  add("model.language_model.embed_tokens.weight", {c.vocab_size, c.hidden_size});
  add("model.language_model.norm.weight", {c.hidden_size});
  for (std::int64_t i = 0; i < c.num_hidden_layers; ++i) {
    const std::string layer = fmt::format("model.language_model.layers.{}.", i);
    add(layer + "input_layernorm.weight", {c.hidden_size});
    add(layer + "post_attention_layernorm.weight", {c.hidden_size});
    add(layer + "self_attn.q_proj.weight", {q, c.hidden_size});
    add(layer + "self_attn.k_proj.weight", {kv, c.hidden_size});
    add(layer + "self_attn.v_proj.weight", {kv, c.hidden_size});
    add(layer + "self_attn.o_proj.weight", {c.hidden_size, q});
    add(layer + "self_attn.q_norm.weight", {c.head_dim});
    add(layer + "self_attn.k_norm.weight", {c.head_dim});
    add(layer + "mlp.gate_proj.weight", {c.intermediate_size, c.hidden_size});
    add(layer + "mlp.up_proj.weight", {c.intermediate_size, c.hidden_size});
    add(layer + "mlp.down_proj.weight", {c.hidden_size, c.intermediate_size});
  }
  return weights;
}

/// The text model written out in loops over doubles, without a cache or padding: an independent computation of the
/// logits after the last of `ids`. Positions are text positions, so the three rotary axes agree.
class NaiveModel {
 public:
  using Vector = std::vector<double>;

  NaiveModel(TextConfig config, std::map<std::string, at::Tensor> weights)
      : config_(std::move(config)), weights_(std::move(weights)) {}

  Vector last_logits(const std::vector<std::int64_t>& ids) const {
    std::vector<Vector> x;
    for (const std::int64_t id : ids) x.push_back(row("model.language_model.embed_tokens", id));
    for (std::int64_t i = 0; i < config_.num_hidden_layers; ++i) {
      const std::string layer = fmt::format("model.language_model.layers.{}", i);
      std::vector<Vector> q, k, v;
      for (std::size_t t = 0; t < x.size(); ++t) {
        const Vector h = norm(layer + ".input_layernorm", x[t]);
        q.push_back(rotated(layer + ".self_attn.q_norm", product(layer + ".self_attn.q_proj", h), t));
        k.push_back(rotated(layer + ".self_attn.k_norm", product(layer + ".self_attn.k_proj", h), t));
        v.push_back(product(layer + ".self_attn.v_proj", h));
      }
      for (std::size_t t = 0; t < x.size(); ++t) {
        x[t] = sum(x[t], product(layer + ".self_attn.o_proj", attended(q[t], k, v, t)));
        const Vector h = norm(layer + ".post_attention_layernorm", x[t]);
        Vector gate = product(layer + ".mlp.gate_proj", h);
        const Vector up = product(layer + ".mlp.up_proj", h);
        for (std::size_t j = 0; j < gate.size(); ++j) gate[j] *= up[j] / (1 + std::exp(-gate[j]));
        x[t] = sum(x[t], product(layer + ".mlp.down_proj", gate));
      }
    }
    return product("lm_head", norm("model.language_model.norm", x.back()));
  }

 private:
  Vector row(const std::string& name, std::int64_t index) const {
    const at::Tensor values = weights_.at(name + ".weight")[index].contiguous();
    return {values.data_ptr<float>(), values.data_ptr<float>() + values.numel()};
  }
  Vector product(const std::string& name, const Vector& x) const {
    Vector y;
    for (std::int64_t i = 0; i < weights_.at(name + ".weight").size(0); ++i) {
      const Vector w = row(name, i);
      y.push_back(std::inner_product(w.begin(), w.end(), x.begin(), 0.0));
    }
    return y;
  }
  Vector norm(const std::string& name, Vector x) const {
    const double mean = std::inner_product(x.begin(), x.end(), x.begin(), 0.0) / static_cast<double>(x.size());
    const auto* weight = weights_.at(name + ".weight").data_ptr<float>();
    for (std::size_t i = 0; i < x.size(); ++i) x[i] *= weight[i] / std::sqrt(mean + config_.rms_norm_eps);
    return x;
  }
  /// Each head of `x` normalised, then pairs (i, i + d/2) turned by position · theta^(-2i/d).
  Vector rotated(const std::string& name, const Vector& x, std::size_t position) const {
    const auto d = static_cast<std::size_t>(config_.head_dim);
    Vector y;
    for (std::size_t head = 0; head < x.size(); head += d) {
      const auto begin = x.begin() + static_cast<std::ptrdiff_t>(head);
      const Vector h = norm(name, Vector(begin, begin + static_cast<std::ptrdiff_t>(d)));
      Vector turned(d);
      for (std::size_t i = 0; i < d / 2; ++i) {
        const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(d);
        const double angle = static_cast<double>(position) * std::pow(config_.rope_theta, exponent);
        turned[i] = h[i] * std::cos(angle) - h[i + d / 2] * std::sin(angle);
        turned[i + d / 2] = h[i + d / 2] * std::cos(angle) + h[i] * std::sin(angle);
      }
      y.insert(y.end(), turned.begin(), turned.end());
    }
    return y;
  }
  Vector attended(const Vector& q, const std::vector<Vector>& k, const std::vector<Vector>& v, std::size_t last) const {
    const auto d = static_cast<std::size_t>(config_.head_dim);
    const auto group = static_cast<std::size_t>(config_.num_attention_heads / config_.num_key_value_heads);
    Vector y(q.size(), 0.0);
    for (std::size_t head = 0; head < q.size() / d; ++head) {
      const std::size_t kv = head / group * d;
      Vector weight;
      for (std::size_t t = 0; t <= last; ++t) {
        double score = 0;
        for (std::size_t i = 0; i < d; ++i) score += q[head * d + i] * k[t][kv + i];
        weight.push_back(std::exp(score / std::sqrt(static_cast<double>(d))));
      }
      const double total = std::accumulate(weight.begin(), weight.end(), 0.0);
      for (std::size_t t = 0; t <= last; ++t)
        for (std::size_t i = 0; i < d; ++i) y[head * d + i] += weight[t] / total * v[t][kv + i];
    }
    return y;
  }
  static Vector sum(Vector x, const Vector& y) {
    for (std::size_t i = 0; i < x.size(); ++i) x[i] += y[i];
    return x;
  }

  TextConfig config_;
  std::map<std::string, at::Tensor> weights_;
};

at::Tensor ids_of(const std::vector<std::int64_t>& values, at::IntArrayRef shape) {
  return at::tensor(values, at::kLong).reshape(shape);
}

TEST(PlainLanguageModel, TheFirstAxisTurnsAllFrequencies) {
  TextConfig config = odd_config();
  const at::Tensor apart = ids_of({0, 1, 2, 7, 7, 7, 9, 8, 5}, {3, 1, 3});
  const Rotary three = mrope(config, apart);
  const Rotary same = mrope(config, apart[0].expand({3, 1, 3}));
  config.mrope_section.clear();
  const Rotary one = mrope(config, apart);
  EXPECT_TRUE(one.cos.equal(same.cos));
  EXPECT_TRUE(one.sin.equal(same.sin));
  EXPECT_FALSE(one.cos.equal(three.cos));
}

TEST(OddUntiedModel, DecodingARightPaddedBatchEqualsLoopsOverDoubles) {
  const TextConfig config = odd_config();
  const std::map<std::string, at::Tensor> weights = odd_weights();
  const WeightProvider provider = [&](const std::string& name) { return weights.at(name); };
  const NaiveModel naive(config, weights);

  // Prefills of 5 and 3 tokens, the second padded to 5, then two more tokens each.
  std::vector<std::vector<std::int64_t>> rows{{3, 9, 36, 0, 21}, {5, 5, 30}};
  const std::vector<std::vector<std::int64_t>> more{{8, 2}, {14, 11}};  // a step, for both rows
  TextInput input{.inputs_embeds = embed_tokens(config, provider, ids_of({3, 9, 36, 0, 21, 5, 5, 30, 0, 0}, {2, 5})),
                  .attention_mask = ids_of({1, 1, 1, 1, 1, 1, 1, 1, 0, 0}, {2, 5}),
                  .position_ids = at::arange(5, at::kLong).expand({3, 2, 5}),
                  .visual_mask = {},
                  .deepstack = {}};
  KeyValueCache cache;
  double largest = 0;
  for (std::size_t step = 0; step < 3; ++step) {
    const at::Tensor logits = lm_head(config, provider, text_forward(config, provider, input, &cache));
    for (std::size_t row = 0; row < 2; ++row) {
      const auto last = step == 0 ? static_cast<std::int64_t>(rows[row].size()) - 1 : 0;
      const at::Tensor found = logits[static_cast<std::int64_t>(row)][last];
      largest = std::max(largest, max_difference(found, at::tensor(naive.last_logits(rows[row]), at::kDouble)));
    }
    if (step == 2) break;
    std::vector<std::int64_t> positions;
    for (std::size_t row = 0; row < 2; ++row) {
      positions.push_back(static_cast<std::int64_t>(rows[row].size()));
      rows[row].push_back(more[step][row]);
    }
    input.inputs_embeds = embed_tokens(config, provider, ids_of(more[step], {2, 1}));
    input.attention_mask = at::cat({input.attention_mask, at::ones({2, 1}, at::kLong)}, 1);
    input.position_ids = ids_of(positions, {1, 2, 1}).expand({3, 2, 1});
  }
  EXPECT_EQ(cache.length(), 7);
  EXPECT_LT(largest, 1e-5);
  report(largest);
}

}  // namespace
}  // namespace q3vl::reference::reference_test
