// Encodings against naive implementations of their definitions.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "base/half.h"
#include "quant/balance.h"
#include "quant/encoder.h"
#include "quant/quantizer.h"
#include "quant/weight_requests.h"
#include "qwen3vl_export/error.h"
#include "support/refusal.h"

namespace q3vl::quant_test {
namespace {

Encoding blocks(int bits, int block_size, bool symmetric = true, const char* quantizer = "rtn") {
  return {.format = Encoding::Format::block_quantized,
          .bits = bits,
          .block_size = block_size,
          .symmetric = symmetric,
          .quantizer = quantizer};
}

StoredRows stored(const std::vector<float>& values, std::int64_t columns) {
  return {DataType::float32, columns, std::as_bytes(std::span(values))};
}

using Parts = std::vector<std::vector<std::byte>>;

Parts encode(const Encoding& encoding, const std::vector<float>& values, std::int64_t columns,
             const InputStatistics& inputs = {}) {
  const std::int64_t rows = static_cast<std::int64_t>(values.size()) / columns;
  Parts parts;
  std::vector<std::span<std::byte>> views;
  for (const EncodedPart& part : encoded_parts(encoding, DataType::float32, rows, columns))
    parts.emplace_back(part.row_bytes * static_cast<std::size_t>(rows));
  for (std::vector<std::byte>& part : parts) views.emplace_back(part);
  EXPECT_EQ(encode_rows(encoding, stored(values, columns), inputs, views), 0);
  return parts;
}

std::vector<float> dequantized(const Encoding& encoding, const Parts& parts, std::int64_t rows, std::int64_t columns) {
  std::vector<float> values(static_cast<std::size_t>(rows * columns));
  const std::vector<std::span<const std::byte>> views(parts.begin(), parts.end());
  dequantize_rows(encoding, views, columns, values);
  return values;
}

/// Entry `i` of packed codes or zero points, as MatMulNBits is documented to read them: low bits first.
int code_at(std::span<const std::byte> packed, int bits, std::size_t i) {
  const std::size_t bit = i * static_cast<std::size_t>(bits);
  return (std::to_integer<int>(packed[bit / 8]) >> (bit % 8)) & ((1 << bits) - 1);
}

float scale_at(const Parts& parts, std::size_t i) {
  std::uint16_t bits = 0;
  std::memcpy(&bits, parts[1].data() + 2 * i, 2);
  return float16_to_float32(bits);
}

std::vector<float> random_values(std::size_t count, unsigned seed, float spread = 1.0F) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.0F, spread);
  std::vector<float> values(count);
  for (float& value : values) value = normal(generator);
  return values;
}

class BlockQuantized : public testing::TestWithParam<std::tuple<int, int, std::int64_t, bool>> {};

TEST_P(BlockQuantized, RoundsToNearestWithScalesAsTheyAreStored) {
  const auto [bits, block_size, columns, symmetric] = GetParam();
  constexpr std::int64_t kRows = 5;
  std::vector<float> values = random_values(static_cast<std::size_t>(kRows * columns), 7);
  for (std::int64_t i = 0; i < std::min<std::int64_t>(columns, block_size); ++i)
    values[static_cast<std::size_t>(i)] = 0.0F;           // a block of zeros
  values[static_cast<std::size_t>(columns)] = -40.0F;     // largest in magnitude and negative
  values[static_cast<std::size_t>(2 * columns)] = 40.0F;  // and positive
  const Encoding encoding = blocks(bits, block_size, symmetric);
  const Parts parts = encode(encoding, values, columns);
  ASSERT_EQ(parts.size(), symmetric ? 2U : 3U);
  const std::vector<float> back = dequantized(encoding, parts, kRows, columns);

  const std::int64_t blocks_in_row = (columns + block_size - 1) / block_size;
  const int middle = 1 << (bits - 1);
  const int last = 2 * middle - 1;
  const std::size_t zero_bytes = static_cast<std::size_t>(blocks_in_row * bits + 7) / 8;
  for (std::int64_t row = 0; row < kRows; ++row) {
    for (std::int64_t block = 0; block < blocks_in_row; ++block) {
      float signed_maximum = 0.0F, least = 0.0F, most = 0.0F;
      for (std::int64_t i = block * block_size; i < std::min(columns, (block + 1) * block_size); ++i) {
        const float value = values[static_cast<std::size_t>(row * columns + i)];
        if (std::fabs(value) > std::fabs(signed_maximum)) signed_maximum = value;
        least = std::min(least, value);
        most = std::max(most, value);
      }
      const float chosen =
          symmetric ? signed_maximum / static_cast<float>(-middle) : (most - least) / static_cast<float>(last);
      const float scale = float16_to_float32(float32_to_float16(chosen));
      EXPECT_EQ(scale_at(parts, static_cast<std::size_t>(row * blocks_in_row + block)), scale)
          << "row " << row << " block " << block;
      int zero_point = middle;
      if (!symmetric && chosen > 0) zero_point = static_cast<int>(std::nearbyint(-least * (1.0F / chosen)));
      if (!symmetric) {
        EXPECT_EQ(code_at(std::span(parts[2]).subspan(static_cast<std::size_t>(row) * zero_bytes), bits,
                          static_cast<std::size_t>(block)),
                  zero_point);
      }
      for (std::int64_t i = block * block_size; i < (block + 1) * block_size; ++i) {
        const int code = code_at(parts[0], bits, static_cast<std::size_t>(row * blocks_in_row * block_size + i));
        if (i >= columns) {
          EXPECT_EQ(code, zero_point) << "padding stands for zero";
          continue;
        }
        const auto place = static_cast<std::size_t>(row * columns + i);
        const float expected = scale == 0.0F
                                   ? static_cast<float>(zero_point)
                                   : std::floor(values[place] * (1.0F / scale) + static_cast<float>(zero_point) + 0.5F);
        EXPECT_EQ(code, static_cast<int>(std::clamp(expected, 0.0F, static_cast<float>(last))))
            << "row " << row << " column " << i;
        EXPECT_EQ(back[place], static_cast<float>(code - zero_point) * scale);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, BlockQuantized,
                         testing::Combine(testing::Values(2, 4, 8), testing::Values(16, 32, 128),
                                          testing::Values(32, 128, 72, 17, 1), testing::Bool()));

double relative_error(const std::vector<float>& found, const std::vector<float>& expected) {
  double error = 0, size = 0;
  for (std::size_t i = 0; i < found.size(); ++i) {
    error += std::pow(found[i] - expected[i], 2);
    size += std::pow(expected[i], 2);
  }
  return std::sqrt(error / size);
}

/// On Gaussian weights in blocks of 32. Round to nearest and k-quant are as published measurements have them (0.0857,
/// 0.0807, 0.0821); what an exhaustive search over scales and zero points reaches is 0.0764.
TEST(Quantizers, LeaveTheErrorsThatAreKnownOfThem) {
  constexpr std::int64_t kColumns = 4096;
  const std::vector<float> values = random_values(32 * kColumns, 1);
  const auto error = [&](const char* quantizer, bool symmetric) {
    const Encoding encoding = blocks(4, 32, symmetric, quantizer);
    return relative_error(dequantized(encoding, encode(encoding, values, kColumns), 32, kColumns), values);
  };
  EXPECT_NEAR(error("rtn", true), 0.0857, 0.0005);
  EXPECT_NEAR(error("rtn", false), 0.0807, 0.0005);
  EXPECT_NEAR(error("kquant", false), 0.0821, 0.0008);
  EXPECT_NEAR(error("hqq", false), 0.0807, 0.0008);
  EXPECT_NEAR(error("grid", false), 0.0766, 0.0005);
  EXPECT_NEAR(error("grid", true), 0.0808, 0.0005);
}

TEST(Quantizers, GridIsCloseToAnExhaustiveSearch) {
  const std::vector<float> values = random_values(200 * 32, 5);
  for (const bool symmetric : {true, false}) {
    const Encoding encoding = blocks(4, 32, symmetric, "grid");
    const std::vector<float> found = dequantized(encoding, encode(encoding, values, 32), 200, 32);
    double best_sum = 0, found_sum = 0;
    for (std::size_t block = 0; block < 200; ++block) {
      double best = 1e30, reached = 0;
      for (std::size_t i = block * 32; i < block * 32 + 32; ++i) reached += std::pow(found[i] - values[i], 2);
      for (int zero_point = symmetric ? 8 : 0; zero_point <= (symmetric ? 8 : 15); ++zero_point)
        for (int step = -600; step <= 600; ++step) {
          const double scale = step / 1000.0;  // of standard deviations: a block's range is about four
          if (step == 0 || (!symmetric && step < 0)) continue;
          double error = 0;
          for (std::size_t i = block * 32; i < block * 32 + 32; ++i) {
            const double code = std::clamp(std::nearbyint(values[i] / scale) + zero_point, 0.0, 15.0);
            error += std::pow((code - zero_point) * scale - values[i], 2);
          }
          best = std::min(best, error);
        }
      best_sum += best;
      found_sum += reached;
    }
    EXPECT_LT(found_sum, 1.02 * best_sum) << (symmetric ? "symmetric" : "asymmetric");
  }
}

/// What an importance is for: the columns that count come out better, at the cost of the others.
TEST(Quantizers, HeedTheImportance) {
  constexpr std::int64_t kColumns = 512;
  const std::vector<float> values = random_values(64 * kColumns, 9);
  InputStatistics inputs;
  for (std::int64_t i = 0; i < kColumns; ++i) inputs.importance.push_back(i % 8 == 0 ? 100.0F : 1.0F);
  const auto weighted_error = [&](const char* name, const InputStatistics& known) {
    const Encoding encoding = blocks(4, 32, false, name);
    const std::vector<float> back = dequantized(encoding, encode(encoding, values, kColumns, known), 64, kColumns);
    double error = 0;
    for (std::size_t i = 0; i < values.size(); ++i)
      error += inputs.importance[i % kColumns] * std::pow(back[i] - values[i], 2);
    return error;
  };
  EXPECT_LT(weighted_error("grid", inputs), 0.85 * weighted_error("grid", {}));
  EXPECT_LT(weighted_error("kquant", inputs), 0.99 * weighted_error("kquant", {}));
  EXPECT_EQ(weighted_error("rtn", inputs), weighted_error("rtn", {}));
}

/// GPTQ by its definition, in double precision: rows are independent, columns follow each other, blocks are chosen when
/// they are reached.
TEST(Gptq, MakesErrorsGoodInLaterColumns) {
  constexpr std::int64_t kColumns = 200;  // two panels, the last block short
  constexpr std::int64_t kRows = 9;
  const std::vector<float> values = random_values(kRows * kColumns, 11);
  // Inputs that all share a part: H = I + 1·1ᵀ. Its inverse's Cholesky factor U gives R[i][j] = U[i][j] / U[i][i].
  std::vector<std::vector<double>> inverse(kColumns, std::vector<double>(kColumns));
  for (std::int64_t i = 0; i < kColumns; ++i)
    for (std::int64_t j = 0; j < kColumns; ++j)
      inverse[static_cast<std::size_t>(i)][static_cast<std::size_t>(j)] = (i == j ? 1.0 : 0.0) - 1.0 / (1.0 + kColumns);
  InputStatistics inputs;
  std::vector<std::vector<float>> factors(kColumns, std::vector<float>(kColumns));
  for (std::size_t i = 0; i < kColumns; ++i) {  // Gaussian elimination: rows of Uᵀ's transpose, scaled to 1
    for (std::size_t j = i + 1; j < kColumns; ++j) {
      const std::uint16_t half = float32_to_float16(static_cast<float>(inverse[i][j] / inverse[i][i]));
      inputs.feedback.push_back(half);
      factors[i][j] = float16_to_float32(half);
    }
    for (std::size_t r = i + 1; r < kColumns; ++r) {
      const double part = inverse[r][i] / inverse[i][i];
      for (std::size_t c = i; c < kColumns; ++c) inverse[r][c] -= part * inverse[i][c];
    }
  }
  const Encoding encoding = blocks(4, 32, false, "gptq");
  const std::vector<float> found = dequantized(encoding, encode(encoding, values, kColumns, inputs), kRows, kColumns);
  const std::vector<float> plain = dequantized(blocks(4, 32, false, "grid"),
                                               encode(blocks(4, 32, false, "grid"), values, kColumns), kRows, kColumns);

  const auto output_error = [&](const std::vector<float>& weights) {  // Σ (w − ŵ) H (w − ŵ)ᵀ over the rows
    double error = 0;
    for (std::size_t row = 0; row < kRows; ++row) {
      double sum = 0;
      for (std::size_t i = row * kColumns; i < (row + 1) * kColumns; ++i) {
        const double difference = weights[i] - values[i];
        error += difference * difference;
        sum += difference;
      }
      error += sum * sum;
    }
    return error;
  };
  EXPECT_LT(output_error(found), 0.75 * output_error(plain));

  // The same again, naively: a row at a time, choosing each block's scale by encoding what is left of it alone.
  for (std::size_t row = 0; row < kRows; ++row) {
    std::vector<double> left(values.begin() + static_cast<std::ptrdiff_t>(row * kColumns),
                             values.begin() + static_cast<std::ptrdiff_t>((row + 1) * kColumns));
    for (std::size_t begin = 0; begin < kColumns; begin += 32) {
      const std::size_t end = std::min<std::size_t>(begin + 32, kColumns);
      const std::vector<float> block(left.begin() + static_cast<std::ptrdiff_t>(begin),
                                     left.begin() + static_cast<std::ptrdiff_t>(end));
      const Parts parts = encode(blocks(4, 32, false, "grid"), block, static_cast<std::int64_t>(block.size()));
      const double scale = scale_at(parts, 0);
      const int zero_point = code_at(parts[2], 4, 0);
      for (std::size_t i = begin; i < end; ++i) {
        const double code = std::clamp(std::floor(left[i] / scale + zero_point + 0.5), 0.0, 15.0);
        const double reached = (code - zero_point) * scale;
        ASSERT_NEAR(found[row * kColumns + i], reached, 2e-3) << "row " << row << " column " << i;
        const double error = left[i] - reached;
        for (std::size_t j = i + 1; j < kColumns; ++j) left[j] -= error * factors[i][j];
      }
    }
  }
}

TEST(Gptq, NeedsItsFeedback) {
  const std::vector<float> values(64, 1.0F);
  std::vector<std::byte> data(32), scales(4), zero_points(1);
  const std::vector<std::span<std::byte>> views = {data, scales, zero_points};
  EXPECT_EQ(
      refusal(ErrorKind::bad_input, [&] { encode_rows(blocks(4, 32, false, "gptq"), stored(values, 64), {}, views); }),
      "is to be quantised by gptq, which needs a calibration with feedback factors of it");
}

TEST(Quantizers, RefuseScalesThatFloat16CannotHold) {
  const std::vector<float> values(32, 1e6F);
  std::vector<std::byte> data(16), scales(2);
  const std::vector<std::span<std::byte>> views = {data, scales};
  EXPECT_EQ(
      refusal(ErrorKind::bad_input, [&] { encode_rows(blocks(4, 32), stored(values, 32), {}, views); }),
      "needs a scale of -125000, which float16 cannot represent (its largest is 65504); such values are not those "
      "of a trained model");
}

TEST(Encoding, NamesAndSizesOfItsParts) {
  const auto parts = encoded_parts(blocks(4, 32), DataType::bfloat16, 10, 72);
  ASSERT_EQ(parts.size(), 2U);
  EXPECT_EQ(parts[0].suffix, "int4");
  EXPECT_EQ(parts[0].shape, (Shape{10, 3, 16}));
  EXPECT_EQ(parts[0].row_bytes, 48U);
  EXPECT_EQ(parts[1].suffix, "scales");
  EXPECT_EQ(parts[1].shape, (Shape{10, 3}));
  EXPECT_EQ(parts[1].type, DataType::float16);
  EXPECT_EQ(parts[1].row_bytes, 6U);
  const auto asymmetric = encoded_parts(blocks(2, 32, false), DataType::bfloat16, 10, 200);
  ASSERT_EQ(asymmetric.size(), 3U);
  EXPECT_EQ(asymmetric[0].row_bytes, 56U);
  EXPECT_EQ(asymmetric[2].suffix, "zero_points");
  EXPECT_EQ(asymmetric[2].shape, (Shape{10, 2}));
  EXPECT_EQ(asymmetric[2].row_bytes, 2U);
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
  EXPECT_EQ(encode_rows({.format = Encoding::Format::float16}, stored(values, static_cast<std::int64_t>(values.size())),
                        {}, views),
            0);
  // 1 + 1/2048 is halfway to the even 1; 1 + 3/2048 halfway to the even 1 + 2/1024; the last denormal; half of it.
  EXPECT_EQ(out, (std::vector<std::uint16_t>{0x3c00, 0x3c00, 0x3c02, 0xfbff, 0x0001, 0x0000, 0x0000}));
}

TEST(Float16, RefusesWhatItCannotHold) {
  const std::vector<float> values = {1.0F, 70000.0F};
  std::vector<std::byte> out(4);
  const std::vector<std::span<std::byte>> views = {out};
  try {
    encode_rows({.format = Encoding::Format::float16}, stored(values, 2), {}, views);
    FAIL() << "70000 was encoded";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::bad_input);
    EXPECT_STREQ(error.what(), "holds the value 70000, which float16 cannot represent (its largest is 65504)");
  }
}

TEST(Encoding, CountsWhatIsNotFiniteAndTakesItForZero) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  std::vector<float> values(3 * 32, 1.0F);
  values[33] = std::numeric_limits<float>::quiet_NaN();
  values[40] = -kInfinity;
  std::vector<float> zeroed = values;
  zeroed[33] = zeroed[40] = 0;
  const std::vector<std::uint16_t> factors(31 * 32 / 2, 0x3000);
  for (const Encoding& encoding :
       {blocks(8, 32), blocks(4, 32, false), blocks(4, 32, false, "gptq"), Encoding{.format = Encoding::Format::w8a8},
        Encoding{.format = Encoding::Format::row_norms}}) {
    const auto encoded = [&](const std::vector<float>& rows, std::int64_t nonfinite) {
      std::vector<std::vector<std::byte>> bytes;
      std::vector<std::span<std::byte>> views;
      for (const EncodedPart& part : encoded_parts(encoding, DataType::float32, 3, 32))
        bytes.emplace_back(3 * part.row_bytes, std::byte{7});
      for (auto& part : bytes) views.emplace_back(part);
      EXPECT_EQ(encode_rows(encoding, stored(rows, 32), {.importance = {}, .feedback = factors, .balance = {}}, views),
                nonfinite)
          << to_string(encoding);
      return bytes;
    };
    EXPECT_EQ(encoded(values, 2), encoded(zeroed, 0)) << to_string(encoding);
  }
  EXPECT_EQ(encode_rows({}, stored(values, 32), {}, {}), 2) << "as it is stored";
}

TEST(Encoding, FloatingPointTypesKeepWhatIsNotFinite) {
  const std::vector<float> values = {1.0F, std::numeric_limits<float>::quiet_NaN(),
                                     -std::numeric_limits<float>::infinity()};
  std::vector<std::uint16_t> halves(3);
  const std::vector<std::span<std::byte>> half_views = {std::as_writable_bytes(std::span(halves))};
  EXPECT_EQ(encode_rows({.format = Encoding::Format::float16}, stored(values, 3), {}, half_views), 2);
  EXPECT_EQ(halves, (std::vector<std::uint16_t>{0x3c00, 0x7e00, 0xfc00}));
  std::vector<float> floats(3);
  const std::vector<std::span<std::byte>> views = {std::as_writable_bytes(std::span(floats))};
  EXPECT_EQ(encode_rows({.format = Encoding::Format::float32}, stored(values, 3), {}, views), 2);
  EXPECT_EQ(std::memcmp(floats.data(), values.data(), 12), 0);
}

WeightRequests requests_over(std::map<std::string, StoredWeight> stored, Encoding encoding = {}) {
  return {[stored](const std::string& name) -> std::optional<StoredWeight> {
            const auto found = stored.find(name);
            return found == stored.end() ? std::nullopt : std::optional(found->second);
          },
          [encoding](const WeightUse&) { return encoding; }};
}

TEST(IntegerRows, AreCodesTimesARowsScale) {
  constexpr std::int64_t kRows = 6;
  constexpr std::int64_t kColumns = 50;
  const Encoding w8a8{.format = Encoding::Format::w8a8};
  const std::vector<float> values = random_values(kRows * kColumns, 5);
  const Parts parts = encode(w8a8, values, kColumns);
  ASSERT_EQ(parts.size(), 3U);
  EXPECT_EQ(parts[2], std::vector<std::byte>(kRows)) << "zero points";
  const std::vector<float> found = dequantized(w8a8, parts, kRows, kColumns);
  for (std::int64_t row = 0; row < kRows; ++row) {
    float scale = 0;
    std::memcpy(&scale, parts[1].data() + 4 * row, 4);
    for (std::int64_t i = row * kColumns; i < (row + 1) * kColumns; ++i) {
      const auto at = static_cast<std::size_t>(i);
      EXPECT_EQ(found[at], static_cast<float>(static_cast<std::int8_t>(parts[0][at])) * scale);
      EXPECT_NEAR(found[at], values[at], 0.5001F * scale);
    }
  }
}

TEST(IntegerRows, AreBalancedBeforeTheyAreRounded) {
  constexpr std::int64_t kColumns = 8;
  const std::vector<float> values = random_values(3 * kColumns, 9);
  const std::vector<float> balance = {1, 2, 0.5F, 4};  // once more for the second four columns
  std::vector<float> balanced = values;
  for (std::size_t i = 0; i < balanced.size(); ++i) balanced[i] *= balance[i % 4];
  const Encoding w8a8{.format = Encoding::Format::w8a8};
  InputStatistics inputs;
  inputs.balance = balance;
  EXPECT_EQ(encode(w8a8, values, kColumns, inputs), encode(w8a8, balanced, kColumns));
}

TEST(RowNorms, AreTheLengthsOfTheBalancedRows) {
  const Encoding norms{.format = Encoding::Format::row_norms};
  const auto parts = encoded_parts(norms, DataType::bfloat16, 3, 2);
  ASSERT_EQ(parts.size(), 1U);
  EXPECT_EQ(parts[0].suffix, "row_norms");
  EXPECT_EQ(parts[0].type, DataType::float32);
  EXPECT_EQ(parts[0].shape, (Shape{3}));
  EXPECT_EQ(parts[0].row_bytes, 4U);
  std::vector<float> found(3);
  const std::vector<std::span<std::byte>> views = {std::as_writable_bytes(std::span(found))};
  const std::vector<float> values = {1.5F, -4, 0, 0, 6, 1};
  InputStatistics inputs;
  inputs.balance = {-2, 1};  // gains may be negative
  EXPECT_EQ(encode_rows(norms, stored(values, 2), inputs, views), 0);
  EXPECT_EQ(found, (std::vector<float>{5, 0, std::sqrt(145.0F)}));
}

TEST(Balance, IsTheRootOfAChannelsSize) {
  const std::vector<float> gain = {3, -16, 0, 0};
  const std::vector<float> bias = {4, 0, 81, 0};
  EXPECT_EQ(balance_of(gain, bias), (std::vector<float>{std::sqrt(5.0F), 4, 9, 1e-6F}));
  EXPECT_EQ(balance_of(gain, {}), (std::vector<float>{std::sqrt(3.0F), 4, 1e-6F, 1e-6F}));
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
}  // namespace q3vl::quant_test
