// Encodings against naive implementations of their definitions.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "quant/encoder.h"
#include "quant/quantizer.h"
#include "quant/weight_requests.h"
#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

struct Encoded {
  std::vector<std::byte> data;
  std::vector<float> scales;
};

Encoding blocks(int bits, int block_size) {
  return {.format = Encoding::Format::block_quantized, .bits = bits, .block_size = block_size, .quantizer = "rtn"};
}

StoredRows stored(const std::vector<float>& values, std::int64_t columns) {
  return {DataType::float32, columns, std::as_bytes(std::span(values))};
}

Encoded encode(const Encoding& encoding, const std::vector<float>& values, std::int64_t rows, std::int64_t columns) {
  const auto parts = encoded_parts(encoding, DataType::float32, rows, columns);
  Encoded out;
  out.data.resize(parts[0].row_bytes * static_cast<std::size_t>(rows));
  out.scales.resize(parts[1].row_bytes / sizeof(float) * static_cast<std::size_t>(rows));
  const std::vector<std::span<std::byte>> views = {out.data, std::as_writable_bytes(std::span(out.scales))};
  EXPECT_EQ(encode_rows(encoding, stored(values, columns), views), 0);
  return out;
}

/// The code of element `i` of a row, read as MatMulNBits is documented to read it: element i of a block in byte
/// i · bits / 8, low bits first.
int code_at(const std::vector<std::byte>& data, int bits, std::size_t i) {
  const auto byte = std::to_integer<unsigned>(data[i * static_cast<std::size_t>(bits) / 8]);
  return static_cast<int>(bits == 8 ? byte : (i % 2 == 0 ? byte & 15U : byte >> 4U));
}

std::vector<float> random_values(std::size_t count, unsigned seed, float spread = 1.0F) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.0F, spread);
  std::vector<float> values(count);
  for (float& value : values) value = normal(generator);
  return values;
}

class BlockQuantized : public testing::TestWithParam<std::tuple<int, int, std::int64_t>> {};

TEST_P(BlockQuantized, FollowsTheSignedMaximumRule) {
  const auto [bits, block_size, columns] = GetParam();
  constexpr std::int64_t kRows = 5;
  std::vector<float> values = random_values(static_cast<std::size_t>(kRows * columns), 7);
  for (std::int64_t i = 0; i < std::min<std::int64_t>(columns, block_size); ++i)
    values[static_cast<std::size_t>(i)] = 0.0F;           // a block of zeros
  values[static_cast<std::size_t>(columns)] = -40.0F;     // largest in magnitude and negative
  values[static_cast<std::size_t>(2 * columns)] = 40.0F;  // and positive
  const Encoded encoded = encode(blocks(bits, block_size), values, kRows, columns);

  const std::int64_t blocks_in_row = (columns + block_size - 1) / block_size;
  const int zero_point = 1 << (bits - 1);
  ASSERT_EQ(encoded.scales.size(), static_cast<std::size_t>(kRows * blocks_in_row));
  for (std::int64_t row = 0; row < kRows; ++row) {
    for (std::int64_t block = 0; block < blocks_in_row; ++block) {
      float signed_maximum = 0.0F;
      for (std::int64_t i = block * block_size; i < std::min(columns, (block + 1) * block_size); ++i) {
        const float value = values[static_cast<std::size_t>(row * columns + i)];
        if (std::fabs(value) > std::fabs(signed_maximum)) signed_maximum = value;
      }
      const float scale = encoded.scales[static_cast<std::size_t>(row * blocks_in_row + block)];
      EXPECT_EQ(scale, signed_maximum / static_cast<float>(-zero_point)) << "row " << row << " block " << block;
      for (std::int64_t i = block * block_size; i < (block + 1) * block_size; ++i) {
        const int code = code_at(encoded.data, bits, static_cast<std::size_t>(row * blocks_in_row * block_size + i));
        if (i >= columns) {
          EXPECT_EQ(code, zero_point) << "padding stands for zero";
          continue;
        }
        const float value = values[static_cast<std::size_t>(row * columns + i)];
        const float expected = scale == 0.0F ? static_cast<float>(zero_point)
                                             : std::roundf(value * (1.0F / scale) + static_cast<float>(zero_point));
        EXPECT_EQ(static_cast<float>(code), std::min(std::max(expected, 0.0F), static_cast<float>(2 * zero_point - 1)))
            << "row " << row << " column " << i;
      }
    }
  }
}

TEST_P(BlockQuantized, DequantizesToCodeTimesScale) {
  const auto [bits, block_size, columns] = GetParam();
  constexpr std::int64_t kRows = 3;
  const std::vector<float> values = random_values(static_cast<std::size_t>(kRows * columns), 11);
  const Encoding encoding = blocks(bits, block_size);
  const Encoded encoded = encode(encoding, values, kRows, columns);
  std::vector<float> back(values.size());
  dequantize_rows(encoding, encoded.data, encoded.scales, columns, back);
  const std::int64_t blocks_in_row = (columns + block_size - 1) / block_size;
  for (std::int64_t row = 0; row < kRows; ++row) {
    for (std::int64_t i = 0; i < columns; ++i) {
      const float scale = encoded.scales[static_cast<std::size_t>(row * blocks_in_row + i / block_size)];
      const int code = code_at(encoded.data, bits, static_cast<std::size_t>(row * blocks_in_row * block_size + i));
      const float value = back[static_cast<std::size_t>(row * columns + i)];
      EXPECT_EQ(value, static_cast<float>(code - (1 << (bits - 1))) * scale);
      // Within half a step, or a whole one where the code range ends one short of the other sign's maximum.
      EXPECT_LE(std::fabs(value - values[static_cast<std::size_t>(row * columns + i)]), std::fabs(scale) * 1.001F);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, BlockQuantized,
                         testing::Combine(testing::Values(4, 8), testing::Values(16, 32, 128),
                                          testing::Values(32, 128, 72, 17, 1)));

TEST(Encoding, NamesAndSizesOfItsParts) {
  const auto parts = encoded_parts(blocks(4, 32), DataType::bfloat16, 10, 72);
  ASSERT_EQ(parts.size(), 2U);
  EXPECT_EQ(parts[0].suffix, "int4");
  EXPECT_EQ(parts[0].shape, (Shape{10, 3, 16}));
  EXPECT_EQ(parts[0].row_bytes, 48U);
  EXPECT_EQ(parts[1].suffix, "scales");
  EXPECT_EQ(parts[1].shape, (Shape{10, 3}));
  EXPECT_EQ(parts[1].row_bytes, 12U);
  const auto stored = encoded_parts({}, DataType::bfloat16, 10, 72);
  ASSERT_EQ(stored.size(), 1U);
  EXPECT_EQ(stored[0].suffix, "");
  EXPECT_EQ(stored[0].type, DataType::bfloat16);
  EXPECT_EQ(stored[0].row_bytes, 144U);
}

TEST(Float16, RoundsToNearestEven) {
  const std::vector<float> values = {1.0F, 1.00048828125F, 1.00146484375F, -65504.0F, 5.9604645e-8F, 2.9802322e-8F,
                                     0.0F};
  std::vector<std::uint16_t> out(values.size());
  const std::vector<std::span<std::byte>> views = {std::as_writable_bytes(std::span(out))};
  EXPECT_EQ(encode_rows({.format = Encoding::Format::float16, .quantizer = {}},
                        stored(values, static_cast<std::int64_t>(values.size())), views),
            0);
  // 1 + 1/2048 is halfway to the even 1; 1 + 3/2048 halfway to the even 1 + 2/1024; the last denormal; half of it.
  EXPECT_EQ(out, (std::vector<std::uint16_t>{0x3c00, 0x3c00, 0x3c02, 0xfbff, 0x0001, 0x0000, 0x0000}));
}

TEST(Float16, RefusesWhatItCannotHold) {
  const std::vector<float> values = {1.0F, 70000.0F};
  std::vector<std::byte> out(4);
  const std::vector<std::span<std::byte>> views = {out};
  try {
    encode_rows({.format = Encoding::Format::float16, .quantizer = {}}, stored(values, 2), views);
    FAIL() << "70000 was encoded";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::bad_input);
    EXPECT_STREQ(error.what(), "holds the value 70000, which float16 cannot represent (its largest is 65504)");
  }
}

TEST(Encoding, CountsWhatIsNotFiniteAndLeavesItsRowsOut) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  std::vector<float> values(3 * 32, 1.0F);
  values[33] = std::numeric_limits<float>::quiet_NaN();
  values[40] = -kInfinity;
  const Encoding encoding = blocks(8, 32);
  std::vector<std::byte> data(3 * 32, std::byte{7});
  std::vector<float> scales(3, 9.0F);
  const std::vector<std::span<std::byte>> views = {data, std::as_writable_bytes(std::span(scales))};
  EXPECT_EQ(encode_rows(encoding, stored(values, 32), views), 2);
  EXPECT_EQ(scales, (std::vector<float>{-1.0F / 128, 9.0F, -1.0F / 128}));
  EXPECT_EQ(data[31], std::byte{0});
  EXPECT_EQ(data[32], std::byte{7});
  EXPECT_EQ(data[64], std::byte{0});
  EXPECT_EQ(encode_rows({}, stored(values, 32), {}), 2) << "as it is stored";
}

WeightRequests requests_over(std::map<std::string, StoredWeight> stored, Encoding encoding = {}) {
  return {[stored](const std::string& name) -> std::optional<StoredWeight> {
            const auto found = stored.find(name);
            return found == stored.end() ? std::nullopt : std::optional(found->second);
          },
          [encoding](Role) { return encoding; }};
}

TEST(WeightRequests, GatherEveryFault) {
  WeightRequests requests = requests_over(
      {{"a", {DataType::bfloat16, {4, 3}}}, {"b", {DataType::int8, {2}}}, {"d", {DataType::float16, {4}}}});
  requests.request("a", {4, 4}, Role::attention_q);
  requests.request("b", {2}, Role::norm);
  requests.request("c", {8, 2}, Role::mlp_up);
  requests.request("d", {4}, Role::norm);
  using Kind = WeightFault::Kind;
  EXPECT_EQ(requests.faults(),
            (std::vector<WeightFault>{{Kind::shape, "a", "\"a\" has shape [4, 3], expected [4, 4] from config.json"},
                                      {Kind::type, "b", "\"b\" is int8, expected bfloat16, float16 or float32"},
                                      {Kind::missing, "c", "\"c\" [8, 2] is missing"}}));
}

TEST(WeightRequests, ShareOneFormAndRefuseASecondBinding) {
  WeightRequests requests = requests_over({{"table", {DataType::bfloat16, {4, 3}}}});
  const WeightRequest& first = requests.request("table", {4, 3}, Role::embedding);
  const WeightRequest& second = requests.request("table", {4, 3}, Role::lm_head);
  EXPECT_EQ(first.blob(0), second.blob(0));
  EXPECT_EQ(requests.all().size(), 1U);
  EXPECT_THROW(requests.request("table", {4, 3}, Role::lm_head), Error);
}

}  // namespace
}  // namespace q3vl
