// Every form in which a weight can be quantised, against ONNX Runtime: what dequantize_rows() says of the bytes is what
// GatherBlockQuantized, the operators that stand for it in browsers, and MatMulNBits make of them, bit for bit.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "base/file.h"
#include "data/data_layout.h"
#include "onnx/onnx_model.h"
#include "ops/embedding_lookup.h"
#include "ops/linear.h"
#include "quant/encoder.h"
#include "quant/quantizer.h"
#include "runtime/session.h"
#include "support/temporary_folder.h"

namespace q3vl::onnxruntime_weights_test {
namespace {

constexpr std::int64_t kRows = 24;

std::vector<float> weights(std::int64_t columns) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0.01F, 0.02F);
  std::vector<float> values(static_cast<std::size_t>(kRows * columns));
  for (float& value : values) value = normal(random);
  for (std::int64_t i = 0; i < columns; ++i) values[static_cast<std::size_t>(i)] = 0.0F;              // nothing
  for (std::int64_t i = columns; i < 2 * columns; ++i) values[static_cast<std::size_t>(i)] *= 1e-5F;  // tiny scales
  return values;
}

/// Importances, and the feedback factors that inputs with a correlation of 0.3 to the next column would have.
InputStatistics statistics(std::int64_t columns) {
  InputStatistics inputs;
  for (std::int64_t i = 0; i < columns; ++i) {
    inputs.importance.push_back(static_cast<float>(1 + i % 5));
    for (std::int64_t j = i + 1; j < columns; ++j) inputs.feedback.push_back(j == i + 1 ? 0xb4cd : 0);  // -0.3
  }
  return inputs;
}

/// One graph that looks all rows up, in one operator and in those that browsers have, and multiplies the unit matrix by
/// the weight's transpose.
class QuantizedWeight {
 public:
  QuantizedWeight(const Encoding& encoding, std::int64_t columns)
      : columns_(columns),
        requests_(
            [&](const std::string&) {
              return StoredWeight{DataType::float32, {kRows, columns}};
            },
            [&](const WeightUse&) { return encoding; }) {
    const Builder b{graph_, requests_, target_profile("cpu")};
    const Value ids = graph_.input("ids", DataType::int64, {1, kRows});
    const TargetProfile browser = in_browser(b.target);
    LinearInput unit(graph_, Scope("product"), graph_.input("unit", DataType::float32, {1, columns, columns}));
    graph_.output("looked_up", embedding_lookup(b, Scope("lookup"), Scope("w"), ids, kRows, columns),
                  {1, kRows, columns});
    requests_.begin_graph();  // or the table would be looked up twice in one graph, which is refused
    graph_.output("looked_up_in_browser",
                  embedding_lookup({graph_, requests_, browser}, Scope("browser"), Scope("w"), ids, kRows, columns),
                  {1, kRows, columns});
    graph_.output("product", linear(b, Scope("product"), Scope("w"), unit, columns, kRows, Role::lm_head, 0),
                  {1, columns, kRows});
    layout_.place(graph_, requests_, {.name = "w.data"});
    write();
  }

  const Encoding& encoding() const { return request().encoding; }

  std::vector<float> dequantized() const {
    std::vector<float> values(static_cast<std::size_t>(kRows * columns_));
    const std::vector<std::span<const std::byte>> parts(parts_.begin(), parts_.end());
    dequantize_rows(encoding(), parts, columns_, values);
    return values;
  }

  NamedTensors run() const {
    static const OnnxRuntime runtime;
    std::vector<std::int64_t> ids(kRows);
    for (std::int64_t i = 0; i < kRows; ++i) ids[static_cast<std::size_t>(i)] = i;
    std::vector<float> unit(static_cast<std::size_t>(columns_ * columns_));
    for (std::int64_t i = 0; i < columns_; ++i) unit[static_cast<std::size_t>(i * columns_ + i)] = 1.0F;
    return Session(runtime, folder_ / "w.onnx", {.intra_op_threads = 1})
        .run({{"ids", HostTensor::of({1, kRows}, ids)}, {"unit", HostTensor::of({1, columns_, columns_}, unit)}});
  }

 private:
  const WeightRequest& request() const { return *requests_.all().front(); }

  void write() {
    const std::vector<float> values = weights(columns_);
    std::vector<std::span<std::byte>> parts;
    for (const EncodedPart& part : request().parts) parts_.emplace_back(part.row_bytes * kRows);
    for (std::vector<std::byte>& part : parts_) parts.emplace_back(part);
    encode_rows(encoding(), {DataType::float32, columns_, std::as_bytes(std::span(values))}, statistics(columns_),
                parts);
    File file = File::create(folder_ / "w.data");
    file.resize(layout_.files().at("w.data"));
    for (std::size_t i = 0; i < parts_.size(); ++i) file.write_at(layout_.weights().front().part_offsets[i], parts_[i]);
    file.finish();
    write_text_file(folder_ / "w.onnx", onnx_model(graph_, layout_, "test"));
  }

  TemporaryFolder folder_;
  std::int64_t columns_;
  Graph graph_{"weight"};
  WeightRequests requests_;
  DataLayout layout_;
  std::vector<std::vector<std::byte>> parts_;
};

class QuantizedForms : public testing::TestWithParam<std::tuple<std::string_view, int, int, bool>> {};

TEST_P(QuantizedForms, AreWhatOnnxRuntimeDequantizes) {
  const auto [name, bits, block_size, symmetric] = GetParam();
  for (const std::int64_t columns : {256, 200, 24}) {
    const QuantizedWeight weight({.format = Encoding::Format::block_quantized,
                                  .bits = bits,
                                  .block_size = block_size,
                                  .symmetric = symmetric,
                                  .quantizer = std::string(name)},
                                 columns);
    const std::vector<float> expected = weight.dequantized();
    const NamedTensors found = weight.run();
    const std::span<const float> looked_up = found.at("looked_up").values<float>();
    const std::span<const float> in_browser = found.at("looked_up_in_browser").values<float>();
    const std::span<const float> product = found.at("product").values<float>();
    EXPECT_TRUE(std::ranges::equal(std::as_bytes(in_browser), std::as_bytes(looked_up))) << columns << " columns";
    double error = 0;
    double size = 0;
    const std::vector<float> original = weights(columns);
    for (std::int64_t row = 0; row < kRows; ++row)
      for (std::int64_t column = 0; column < columns; ++column) {
        const auto place = static_cast<std::size_t>(row * columns + column);
        ASSERT_EQ(looked_up[place], expected[place]) << "looked up, row " << row << " column " << column;
        ASSERT_EQ(product[static_cast<std::size_t>(column * kRows + row)], expected[place])
            << "multiplied, row " << row << " column " << column << " of " << columns;
        error += std::pow(expected[place] - original[place], 2);
        size += std::pow(original[place], 2);
      }
    // Far from what a quantiser reaches, but no more than a wrong zero point or nibble would leave.
    EXPECT_LT(std::sqrt(error / size), bits == 2 ? 0.75 : bits == 4 ? 0.2 : 0.02);
  }
}

using Form = std::tuple<std::string_view, int, int, bool>;

std::vector<Form> all_forms() {
  std::vector<Form> forms;
  for (const Quantizer& each : quantizers())
    for (const int bits : {2, 4, 8})
      for (const int block_size : {16, 32, 64, 128, 256})
        for (const bool symmetric : {false, true})
          if (!symmetric || each.symmetric) forms.emplace_back(each.name, bits, block_size, symmetric);
  return forms;
}

std::string form_name(const testing::TestParamInfo<QuantizedForms::ParamType>& form) {
  const auto& [name, bits, block_size, symmetric] = form.param;
  return fmt::format("{}_{}bit_block{}_{}", name, bits, block_size, symmetric ? "symmetric" : "asymmetric");
}

INSTANTIATE_TEST_SUITE_P(All, QuantizedForms, testing::ValuesIn(all_forms()), form_name);

}  // namespace
}  // namespace q3vl::onnxruntime_weights_test
