// The reference against Hugging Face's recordings, hidden state by hidden state.
#include <gtest/gtest.h>

#include <ATen/ATen.h>

#include <map>
#include <set>

#include "checkpoint/checkpoint.h"
#include "config/model_config.h"
#include "reference/model.h"
#include "support/test_data.h"

namespace q3vl::reference {
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

/// Holds every observed value that was recorded against the recording, and remembers the names.
class Comparison {
 public:
  Comparison(const Recorded& expected, double tolerance) : expected_(expected), tolerance_(tolerance) {}

  void check(const std::string& name, const at::Tensor& value) {
    if (!expected_.has(name)) return;
    const double difference = max_difference(value, expected_[name]);
    EXPECT_LE(difference, tolerance_) << name;
    largest_ = std::max(largest_, difference);
    compared_.insert(name);
  }
  Observer observer() {
    return [this](const std::string& name, const at::Tensor& value) { check(name, value); };
  }
  const std::set<std::string>& compared() const { return compared_; }
  ~Comparison() { testing::Test::RecordProperty("max_difference", std::to_string(largest_)); }

 private:
  const Recorded& expected_;
  double tolerance_;
  double largest_ = 0;
  std::set<std::string> compared_;
};

class Vision : public testing::TestWithParam<const char*> {};

TEST_P(Vision, EveryHiddenStateIsTheRecordedOne) {
  const TinyModel model;
  const Recorded expected = recorded(GetParam());
  const std::vector<Grid> grids = expected.grids("grid_thw");
  Comparison comparison(expected, kVisionTolerance);
  vision_forward(model.config.vision, model.weights, expected["pixel_values"], grids, comparison.observer());
  // What is recorded and not compared here is an input, or compared below.
  std::set<std::string> rest;
  for (const std::string& name : expected.names())
    if (!comparison.compared().contains(name)) rest.insert(name);
  EXPECT_EQ(rest, (std::set<std::string>{"pixel_values", "grid_thw", "rope_position_ids", "cu_seqlens",
                                         "bilinear_indices", "bilinear_weights"}));
}

TEST_P(Vision, PositionsAreEqualToTheLastBit) {
  const TinyModel model;
  const Recorded expected = recorded(GetParam());
  const std::vector<Grid> grids = expected.grids("grid_thw");
  const VisionConfig& config = model.config.vision;
  EXPECT_TRUE(patch_positions(grids, config.spatial_merge_size).equal(expected["rope_position_ids"]));
  const BilinearCorners corners = bilinear_corners(grids, config.position_table_side(), config.spatial_merge_size);
  EXPECT_TRUE(corners.indices.equal(expected["bilinear_indices"].to(at::kLong)));
  EXPECT_TRUE(corners.weights.equal(expected["bilinear_weights"]));
}

INSTANTIATE_TEST_SUITE_P(Recorded, Vision, testing::Values("v1", "v2", "v3"));

/// The visual features that a text recording was made with: its DeepStack tensors are recorded beside it, the merged
/// features stand at the placeholders of its inputs_embeds, and the tower must give both.
struct TextCase {
  const char* name;
  std::vector<std::pair<const char*, std::int64_t>> pixels;  ///< vision recordings and how many of their patches
};

std::ostream& operator<<(std::ostream& out, const TextCase& text_case) {
  return out << text_case.name;
}

/// The tower's output for the pictures of `text_case`; null-like (undefined features) when it has none.
VisionFeatures features_of(const TinyModel& model, const TextCase& text_case, const Recorded& expected) {
  if (text_case.pixels.empty()) return {};
  std::vector<at::Tensor> rows;
  for (const auto& [name, count] : text_case.pixels) rows.push_back(recorded(name)["pixel_values"].narrow(0, 0, count));
  std::vector<Grid> grids = expected.grids("image_grid_thw");
  if (grids.empty()) grids = expected.grids("video_grid_thw");
  return vision_forward(model.config.vision, model.weights, at::cat(rows), grids);
}

class Text : public testing::TestWithParam<TextCase> {};

TEST_P(Text, EveryHiddenStateIsTheRecordedOne) {
  const TinyModel model;
  const Recorded expected = recorded(GetParam().name);
  const VisionFeatures vision = features_of(model, GetParam(), expected);
  const bool visual = vision.features.defined();
  const at::Tensor mask = expected["attention_mask"];
  // At padded positions Hugging Face computes something, but nobody may use it; they are masked out on both sides.
  const at::Tensor attended = mask.to(at::kBool);
  const auto only_attended = [&](const std::string& name, const at::Tensor& value) {
    const bool per_head = name.starts_with("present_");  // [B, heads, S, d] -> [B, S, heads, d]
    return (per_head ? value.transpose(1, 2) : value).index({attended});
  };
  std::set<std::string> compared;
  double largest = 0;
  const Observer observe = [&](const std::string& name, const at::Tensor& value) {
    if (!expected.has(name)) return;
    const double difference = max_difference(only_attended(name, value), only_attended(name, expected[name]));
    EXPECT_LE(difference, kTextTolerance) << name;
    largest = std::max(largest, difference);
    compared.insert(name);
  };

  const Prompt prompt{expected["input_ids"], mask, expected["position_ids"]};
  observe("logits", prompt_logits(model.config, model.weights, prompt, visual ? &vision : nullptr, observe));
  if (visual) {
    const TextInput input = embed_prompt(model.config, model.weights, prompt, &vision);
    EXPECT_TRUE(input.visual_mask.equal(expected["visual_pos_masks"]));
    for (std::size_t level = 0; level < vision.deepstack.size(); ++level)
      EXPECT_LE(max_difference(vision.deepstack[level], expected["deepstack_visual_embeds_" + std::to_string(level)]),
                kVisionTolerance);
  }
  RecordProperty("max_difference", std::to_string(largest));

  std::set<std::string> rest;
  for (const std::string& name : expected.names())
    if (!compared.contains(name) && !name.starts_with("deepstack_visual_embeds_")) rest.insert(name);
  for (const char* input : {"input_ids", "attention_mask", "mm_token_type_ids", "image_grid_thw", "video_grid_thw",
                            "position_ids", "rope_deltas", "visual_pos_masks"})
    rest.erase(input);
  EXPECT_EQ(rest, std::set<std::string>{}) << "recorded, but not compared";
}

INSTANTIATE_TEST_SUITE_P(Recorded, Text,
                         testing::Values(TextCase{"t1", {}}, TextCase{"t2", {{"v1", 96}}},
                                         TextCase{"t3", {{"v2", 116}}}, TextCase{"t4", {{"v3", 192}}},
                                         TextCase{"t6r", {{"v1", 96}, {"v2", 60}}}));

class Greedy : public testing::TestWithParam<TextCase> {};

TEST_P(Greedy, SixteenTokensWithTheCache) {
  const TinyModel model;
  const Recorded expected = recorded(GetParam().name);
  const VisionFeatures vision = features_of(model, GetParam(), expected);
  const Prompt prompt = prompt_of(model.config, expected.integers("input_ids"), expected.grids("image_grid_thw"), {});
  const Generation found =
      greedy_generate(model.config, model.weights, prompt, vision.features.defined() ? &vision : nullptr, 16);
  EXPECT_EQ(found.tokens, expected.integers("generated"));
  const double difference = max_difference(found.logits, expected["step_logits"][0]);
  EXPECT_LE(difference, kTextTolerance);
  RecordProperty("max_difference", std::to_string(difference));
}

INSTANTIATE_TEST_SUITE_P(Recorded, Greedy, testing::Values(TextCase{"t5", {{"v1", 96}}}, TextCase{"t5b", {}}));

}  // namespace
}  // namespace q3vl::reference
