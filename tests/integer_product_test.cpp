// Products of integers in ONNX Runtime against their definition, on the very processor that the test runs on: also
// where a kernel that adds two products in 16 bits would cut them off.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "base/file.h"
#include "data/data_layout.h"
#include "onnx/onnx_model.h"
#include "ops/integer_product.h"
#include "quant/encoder.h"
#include "runtime/session.h"
#include "support/temporary_folder.h"

namespace q3vl::integer_product_test {
namespace {

const Encoding kW8a8{.format = Encoding::Format::w8a8};

/// One graph of x [rows, columns] · wᵀ, in a package of its own.
class Product {
 public:
  Product(std::vector<float> weights, std::int64_t out, std::int64_t in)
      : in_(in),
        out_(out),
        requests_(
            [=](const std::string&) {
              return StoredWeight{DataType::float32, {out, in}};
            },
            [](const WeightUse&) { return kW8a8; }) {
    const Builder b{graph_, requests_, target_profile("cpu")};
    const Value x = graph_.input("x", DataType::float32, {"rows", in});
    const WeightRequest& request = requests_.request("w", {out, in}, Role::vision_fc1);
    graph_.output("y", integer_product(b, Scope("product"), to_integers(graph_, Scope("quantize"), x), request),
                  {"rows", out});
    layout_.place(graph_, requests_, {.name = "w.data"});
    File file = File::create(folder_ / "w.data");
    file.resize(layout_.files().at("w.data"));
    std::vector<std::span<std::byte>> views;
    for (const EncodedPart& part : request.parts) parts_.emplace_back(part.row_bytes * static_cast<std::size_t>(out));
    for (std::vector<std::byte>& part : parts_) views.emplace_back(part);
    EXPECT_EQ(encode_rows(kW8a8, {DataType::float32, in, std::as_bytes(std::span(weights))}, {}, views), 0);
    for (std::size_t i = 0; i < parts_.size(); ++i) file.write_at(layout_.weights().front().part_offsets[i], parts_[i]);
    file.finish();
    write_text_file(folder_ / "w.onnx", onnx_model(graph_, layout_, "test"));
  }

  std::vector<float> run(const std::vector<float>& x) const {
    static const OnnxRuntime runtime;
    const Session session(runtime, folder_ / "w.onnx");
    const auto rows = static_cast<std::int64_t>(x.size()) / in_;
    NamedTensors outputs = session.run({{"x", HostTensor::of<float>({rows, in_}, x)}});
    return outputs.at("y").to_float32();
  }

  /// Integers added up exactly.
  std::vector<float> expected(const std::vector<float>& x) const {
    std::vector<float> result;
    for (std::size_t row = 0; row * static_cast<std::size_t>(in_) < x.size(); ++row) {
      const auto values = std::span(x).subspan(row * static_cast<std::size_t>(in_), static_cast<std::size_t>(in_));
      float largest = 0;
      for (const float value : values) largest = std::max(largest, std::fabs(value));
      const float scale = std::max(largest, 1e-30F) * (1.0F / 127.0F);
      for (std::int64_t o = 0; o < out_; ++o) {
        std::int64_t sum = 0;
        for (std::int64_t i = 0; i < in_; ++i)
          sum += std::lround(std::nearbyint(values[static_cast<std::size_t>(i)] / scale)) * code(o, i);
        float weight_scale = 0;
        std::memcpy(&weight_scale, parts_[1].data() + 4 * o, 4);
        result.push_back(static_cast<float>(sum) * weight_scale * scale);
      }
    }
    return result;
  }

 private:
  std::int64_t code(std::int64_t row, std::int64_t column) const {
    return static_cast<std::int8_t>(parts_[0][static_cast<std::size_t>(row * in_ + column)]);
  }

  TemporaryFolder folder_;
  std::int64_t in_, out_;
  Graph graph_{"product"};
  WeightRequests requests_;
  DataLayout layout_;
  std::vector<std::vector<std::byte>> parts_;
};

std::vector<float> random_values(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

void expect_equal(const std::vector<float>& found, const std::vector<float>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i)
    ASSERT_NEAR(found[i], expected[i], 2e-6F * std::fabs(expected[i]) + 1e-30F) << i;
}

TEST(IntegerProduct, IsExactForAnyNumberOfRows) {
  for (const std::int64_t in : {64, 50, 7}) {
    const std::int64_t out = 33;
    const Product product(random_values(static_cast<std::size_t>(in * out), 1), out, in);
    for (const std::int64_t rows : {1, 2, 5, 40}) {
      SCOPED_TRACE(testing::Message() << in << " columns, " << rows << " rows");
      std::vector<float> x = random_values(static_cast<std::size_t>(in * rows), 2);
      std::fill_n(x.begin(), in, 0.0F);  // a row of zeros
      for (std::int64_t i = in * (rows - 1); i < in * rows && rows > 2; ++i) x[static_cast<std::size_t>(i)] *= 1e4F;
      expect_equal(product.run(x), product.expected(x));
    }
  }
}

TEST(IntegerProduct, IsExactWhereSixteenBitsAreNearlyFull) {
  constexpr std::int64_t kIn = 256;
  constexpr std::int64_t kOut = 24;
  std::vector<float> weights = random_values(kIn * kOut, 3);
  for (std::size_t i = 0; i < kIn; ++i) weights[i] = 1.0F;                            // all as large as the largest
  for (std::size_t i = kIn; i < 2 * kIn; ++i) weights[i] = i % 4 < 2 ? -1.0F : 1.0F;  // pairs of both signs
  for (std::size_t i = 2 * kIn; i < 3 * kIn; ++i) weights[i] = i % 2 == 0 ? 1.0F : 0.001F;  // one large in each pair
  const Product product(weights, kOut, kIn);
  std::vector<float> x(3 * kIn, 1.0F);  // codes of 255, then of 1, then of both
  for (std::size_t i = kIn; i < 2 * kIn; ++i) x[i] = -1.0F;
  for (std::size_t i = 2 * kIn; i < 3 * kIn; ++i) x[i] = i % 4 < 2 ? 1.0F : -1.0F;
  expect_equal(product.run(x), product.expected(x));
  const std::vector<float> one(x.begin(), x.begin() + kIn);
  expect_equal(product.run(one), product.expected(one));
}

TEST(IntegerProduct, ARowOfOutliersCostsTheOthersNothing) {
  constexpr std::int64_t kIn = 128;
  const Product product(random_values(kIn * 16, 4), 16, kIn);
  std::vector<float> x = random_values(2 * kIn, 5);
  const std::vector<float> alone = product.run({x.begin(), x.begin() + kIn});
  for (std::size_t i = kIn; i < 2 * kIn; ++i) x[i] *= 1e6F;
  const std::vector<float> both = product.run(x);
  EXPECT_EQ(std::vector<float>(both.begin(), both.begin() + 16), alone);
}

}  // namespace
}  // namespace q3vl::integer_product_test
