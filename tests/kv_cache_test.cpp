// The INT8 key/value cache in ONNX Runtime: attention over it against a naive one on the values that it stands for, and
// its scales against what norms can give.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "data/data_layout.h"
#include "onnx/onnx_model.h"
#include "qwen3vl/kv_cache/cache_scales.h"
#include "runtime/session.h"
#include "support/temporary_folder.h"

namespace q3vl::kv_cache_test {
namespace {

constexpr std::int64_t kHeads = 6;
constexpr std::int64_t kKvHeads = 3;
constexpr std::int64_t kSize = 24;
constexpr GroupedHeads kGrouped = {kHeads, kKvHeads, kSize};

std::vector<float> normal_values(std::int64_t count, unsigned seed, float deviation = 1.0F) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, deviation);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = normal(random);
  return values;
}

/// Runs a graph without weights.
NamedTensors run(const Graph& graph, const NamedTensors& inputs) {
  static const OnnxRuntime runtime;
  const TemporaryFolder folder;
  return Session(runtime, onnx_model(graph, DataLayout(), "test"), folder.path(), "test", {.intra_op_threads = 1})
      .run(inputs);
}

std::vector<int> codes_of(const HostTensor& tensor) {
  EXPECT_EQ(tensor.type, DataType::int8);
  std::vector<int> codes;
  for (const std::byte byte : tensor.bytes) codes.push_back(static_cast<std::int8_t>(byte));
  return codes;
}

/// Keys or values [tokens, kv_heads · size] and their scales [kv_heads, size].
struct Side {
  std::vector<float> rows;
  std::vector<float> scales;

  float scale(std::int64_t channel) const { return scales[static_cast<std::size_t>(channel)]; }

  int code(std::int64_t token, std::int64_t channel) const {
    const float value = rows[static_cast<std::size_t>(token * kKvHeads * kSize + channel)] / scale(channel);
    return static_cast<int>(std::nearbyint(std::clamp(value, -128.0F, 127.0F)));
  }

  /// What the cache holds of tokens [0, end): [kv_heads, end, size].
  std::vector<int> codes(std::int64_t end) const {
    std::vector<int> all;
    for (std::int64_t head = 0; head < kKvHeads; ++head)
      for (std::int64_t token = 0; token < end; ++token)
        for (std::int64_t i = 0; i < kSize; ++i) all.push_back(code(token, head * kSize + i));
    return all;
  }

  HostTensor cache(std::int64_t end) const {
    HostTensor tensor = HostTensor::zeros(DataType::int8, {1, kKvHeads, end, kSize});
    const std::vector<int> all = codes(end);
    for (std::size_t i = 0; i < all.size(); ++i) tensor.bytes[i] = static_cast<std::byte>(all[i]);
    return tensor;
  }

  HostTensor tokens(std::int64_t begin, std::int64_t end) const {
    const std::int64_t width = kKvHeads * kSize;
    return HostTensor::of<float>({1, end - begin, width},
                                 std::span(rows).subspan(static_cast<std::size_t>(begin * width),
                                                         static_cast<std::size_t>((end - begin) * width)));
  }

  double value(std::int64_t token, std::int64_t channel) const {
    return static_cast<double>(code(token, channel)) * static_cast<double>(scale(channel));
  }
};

/// Each channel has a scale of its own; some values are clipped.
Side side(std::int64_t tokens, unsigned seed) {
  Side made{.rows = normal_values(tokens * kKvHeads * kSize, seed), .scales = {}};
  for (std::int64_t channel = 0; channel < kKvHeads * kSize; ++channel)
    made.scales.push_back(0.018F + 0.002F * static_cast<float>(channel % 7));
  return made;
}

/// Causal attention of tokens [begin, end) over all before them: [end - begin, heads · size].
std::vector<double> naive_attention(const std::vector<float>& query, const Side& keys, const Side& values,
                                    std::int64_t begin, std::int64_t end) {
  std::vector<double> result;
  for (std::int64_t token = begin; token < end; ++token)
    for (std::int64_t head = 0; head < kHeads; ++head) {
      const std::int64_t first = head / (kHeads / kKvHeads) * kSize;
      std::vector<double> weights;
      double sum = 0;
      for (std::int64_t other = 0; other <= token; ++other) {
        double score = 0;
        for (std::int64_t i = 0; i < kSize; ++i)
          score += static_cast<double>(
                       query[static_cast<std::size_t>((token - begin) * kHeads * kSize + head * kSize + i)]) *
                   keys.value(other, first + i);
        weights.push_back(std::exp(score / std::sqrt(static_cast<double>(kSize))));
        sum += weights.back();
      }
      for (std::int64_t i = 0; i < kSize; ++i) {
        double mixed = 0;
        for (std::int64_t other = 0; other <= token; ++other)
          mixed += weights[static_cast<std::size_t>(other)] / sum * values.value(other, first + i);
        result.push_back(mixed);
      }
    }
  return result;
}

struct Calls {
  std::int64_t past;
  std::int64_t fresh;
};

class Int8Attention : public testing::TestWithParam<Calls> {};

TEST_P(Int8Attention, IsThatOverTheValuesThatTheCacheStandsFor) {
  const auto [past, fresh] = GetParam();
  const std::int64_t total = past + fresh;
  const Side keys = side(total, 1);
  const Side values = side(total, 2);
  const std::vector<float> query = normal_values(fresh * kHeads * kSize, 3);
  Graph g("attention");
  const auto rows = [&](const char* name, std::int64_t heads) {
    return g.input(name, DataType::float32, {1, fresh, heads * kSize});
  };
  const auto cache = [&](const char* name) { return g.input(name, DataType::int8, {1, kKvHeads, past, kSize}); };
  const Value q = rows("q", kHeads);
  const Value k = rows("k", kKvHeads);
  const Value v = rows("v", kKvHeads);
  const KeyValue before = {cache("past_key"), cache("past_value")};
  const Value last = g.input("last", DataType::int32, {1});
  const Value length = g.input("total", DataType::int32, {});
  const Shape by_channel = {1, kKvHeads, 1, kSize};
  const KeyValue scales = {g.floats("key_scales", by_channel, keys.scales, DataType::float32),
                           g.floats("value_scales", by_channel, values.scales, DataType::float32)};
  const auto [out, present] = grouped_query_attention(g, Scope("a"), q, k, v, before, {last, length}, kGrouped, scales);
  g.output("out", out, {1, fresh, kHeads * kSize});
  g.output("key", present.key, {1, kKvHeads, total, kSize});
  g.output("value", present.value, {1, kKvHeads, total, kSize});
  const NamedTensors found =
      run(g, {{"q", HostTensor::of({1, fresh, kHeads * kSize}, query)},
              {"k", keys.tokens(past, total)},
              {"v", values.tokens(past, total)},
              {"past_key", keys.cache(past)},
              {"past_value", values.cache(past)},
              {"last", HostTensor::of<std::int32_t>({1}, std::vector{static_cast<std::int32_t>(total - 1)})},
              {"total", HostTensor::of<std::int32_t>({}, std::vector{static_cast<std::int32_t>(total)})}});
  EXPECT_EQ(codes_of(found.at("key")), keys.codes(total));
  EXPECT_EQ(codes_of(found.at("value")), values.codes(total));
  // A prompt's own tokens too are attended to as the cache holds them, so that verify's one call a prompt sees them so.
  const std::vector<double> expected = naive_attention(query, keys, values, past, total);
  const std::span<const float> mixed = found.at("out").values<float>();
  ASSERT_EQ(mixed.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) ASSERT_NEAR(mixed[i], expected[i], 1e-5) << i;
}

INSTANTIATE_TEST_SUITE_P(PromptsAndSteps, Int8Attention,
                         testing::Values(Calls{0, 9}, Calls{0, 1}, Calls{7, 1}, Calls{40, 1}, Calls{5, 4},
                                         Calls{0, 300}));

/// The scales that the graph computes of a norm's gains: [kv_heads, size].
std::vector<float> found_key_scales(const std::vector<float>& gain) {
  Graph g("scales");
  const Value unused = g.input("unused", DataType::float32, {1});
  WeightRequests requests([](const std::string&) { return std::nullopt; }, [](const WeightUse&) { return Encoding{}; });
  const Builder b{g, requests, target_profile("cpu")};
  g.output("scales", key_scales(b, Scope("k"), g.floats("gain", {kSize}, gain, DataType::float32), kGrouped),
           {1, kKvHeads, 1, kSize});
  g.output("same", g.emit(Scope("same"), "Identity", {unused}, DataType::float32), {1});
  const NamedTensors found = run(g, {{"unused", HostTensor::of<float>({1}, std::vector{0.0F})}});
  const std::span<const float> scales = found.at("scales").values<float>();
  return {scales.begin(), scales.end()};
}

/// x / rms(x) · gain, then the pair of channel i of the first half and i of the second turned by (i + 1) · angle.
std::vector<double> normed_and_rotated(const std::vector<float>& x, const std::vector<float>& gain, double angle) {
  double squares = 0;
  for (const float value : x) squares += static_cast<double>(value) * static_cast<double>(value);
  const double rms = std::sqrt(squares / static_cast<double>(kSize) + 1e-6);
  std::vector<double> key(static_cast<std::size_t>(kSize));
  const auto normed = [&](std::size_t i) { return static_cast<double>(x[i]) / rms * static_cast<double>(gain[i]); };
  constexpr auto kHalf = static_cast<std::size_t>(kSize / 2);
  for (std::size_t i = 0; i < kHalf; ++i) {
    const double turn = angle * static_cast<double>(i + 1);
    key[i] = normed(i) * std::cos(turn) - normed(i + kHalf) * std::sin(turn);
    key[i + kHalf] = normed(i + kHalf) * std::cos(turn) + normed(i) * std::sin(turn);
  }
  return key;
}

TEST(KeyScales, AreReachedAndNeverExceeded) {
  std::vector<float> gain = normal_values(kSize, 4, 2.0F);  // negative ones too
  gain[5] = 60.0F;                                          // an outlier, as trained models have them
  gain[7] = 0.0F;
  gain[19] = 0.0F;
  const std::vector<float> scales = found_key_scales(gain);
  ASSERT_EQ(scales.size(), static_cast<std::size_t>(kKvHeads * kSize));
  for (std::size_t i = kSize; i < scales.size(); ++i) EXPECT_EQ(scales[i], scales[i % kSize]) << "heads are alike";
  std::vector<double> largest(static_cast<std::size_t>(kSize));
  std::mt19937 random(5);
  const auto look_at = [&](const std::vector<float>& x) {
    const double angle = 1000.0 * std::generate_canonical<double, 53>(random);
    for (const double turn : {0.0, angle}) {
      const std::vector<double> key = normed_and_rotated(x, gain, turn);
      for (std::size_t i = 0; i < key.size(); ++i) largest[i] = std::max(largest[i], std::fabs(key[i]));
    }
  };
  for (unsigned seed = 0; seed < 2000; ++seed) look_at(normal_values(kSize, seed + 10));
  for (std::int64_t channel = 0; channel < kSize; ++channel) {  // all of the length in one channel, and in a pair
    std::vector<float> x(static_cast<std::size_t>(kSize));
    x[static_cast<std::size_t>(channel)] = 3.0F;
    for (int turn = 0; turn < 2000; ++turn) look_at(x);
    x[static_cast<std::size_t>((channel + kSize / 2) % kSize)] = 2.0F;
    look_at(x);
  }
  for (std::size_t i = 0; i < largest.size(); ++i) {
    const double bound = 127.0 * static_cast<double>(scales[i]);
    EXPECT_LE(largest[i], bound * (1 + 1e-6)) << i;
    EXPECT_GE(largest[i], gain[i] == 0.0F ? 0.0 : bound * 0.97) << i << ": the scale is coarser than it must be";
    EXPECT_GT(scales[i], 0.0F);
  }
}

}  // namespace
}  // namespace q3vl::kv_cache_test
