// Stretched contexts: the frequencies that the text graph holds, against the formulas of the papers computed in
// float64.
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "config/model_config.h"
#include "qwen3vl/text/mrope.h"

namespace q3vl::rope_test {
namespace {

TextConfig config_with(const RopeScaling& scaling) {
  TextConfig config{};
  config.head_dim = 24;
  config.rope_theta = 10'000;
  config.rope_scaling = scaling;
  return config;
}

std::vector<float> frequencies_in(const Graph& graph) {
  for (const Constant& constant : graph.constants())
    if (constant.name.ends_with("inv_freq")) {
      std::vector<float> values(constant.bytes.size() / sizeof(float));
      std::memcpy(values.data(), constant.bytes.data(), constant.bytes.size());
      return values;
    }
  return {};
}

/// Whether a float constant of the graph is `value`.
bool multiplies_by(const Graph& graph, float value) {
  for (const Constant& constant : graph.constants())
    if (constant.shape.empty() && constant.bytes.size() == sizeof(float) &&
        std::memcmp(constant.bytes.data(), &value, sizeof(float)) == 0)
      return true;
  return false;
}

struct Case {
  RopeScaling scaling;
  std::vector<float> frequencies;
};

TEST(Rope, ScaledFrequencies) {
  using enum RopeScaling::Type;
  const std::vector<Case> cases = {
      {{},
       {1.0F, 0.464158883F, 0.215443469F, 0.1F, 0.0464158883F, 0.0215443469F, 0.01F, 0.00464158883F, 0.00215443469F,
        0.001F, 0.000464158883F, 0.000215443469F}},
      {{.type = linear, .factor = 4},
       {0.25F, 0.116039721F, 0.0538608673F, 0.025F, 0.0116039721F, 0.00538608673F, 0.0025F, 0.00116039721F,
        0.000538608673F, 0.00025F, 0.000116039721F, 5.38608673e-05F}},
      {{.type = yarn, .factor = 4, .attention_factor = 1.138629436, .original_max_position_embeddings = 512},
       {1.0F, 0.464158883F, 0.183126949F, 0.07F, 0.0255287386F, 0.00861773876F, 0.0025F, 0.00116039721F,
        0.000538608673F, 0.00025F, 0.000116039721F, 5.38608673e-05F}},
      {{.type = yarn,
        .factor = 4,
        .attention_factor = 1.5,
        .beta_fast = 16,
        .beta_slow = 2,
        .truncate = false,
        .original_max_position_embeddings = 512},
       {1.0F, 0.464158883F, 0.215443469F, 0.0756643944F, 0.0222711139F, 0.00538608673F, 0.0025F, 0.00116039721F,
        0.000538608673F, 0.00025F, 0.000116039721F, 5.38608673e-05F}},
  };
  for (const Case& expected : cases) {
    Graph graph("rope");
    const Value positions = graph.input("position_ids", DataType::int64, {"batch_size", "sequence_length"});
    rope_table(graph, Scope("rotary_emb"), config_with(expected.scaling), positions, DataType::float32);
    const std::vector<float> found = frequencies_in(graph);
    ASSERT_EQ(found.size(), expected.frequencies.size());
    for (std::size_t i = 0; i < found.size(); ++i)
      EXPECT_NEAR(found[i] / expected.frequencies[i], 1, 1e-6) << "frequency " << i;
    EXPECT_EQ(multiplies_by(graph, static_cast<float>(expected.scaling.attention_factor)),
              expected.scaling.type == yarn);
  }
}

}  // namespace
}  // namespace q3vl::rope_test
