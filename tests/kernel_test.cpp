// The kernels against scalar code, bit for bit, on every instruction set that this machine has: the bytes of a package
// do not depend on where it was made.
#include <gtest/gtest.h>
#include <hwy/highway.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "base/half.h"
#include "kernels/convert.h"
#include "kernels/pack.h"
#include "kernels/quantize.h"

namespace q3vl {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kSmallestNormal = std::numeric_limits<float>::min();

/// An instruction set of this machine, chosen for the kernels while a test runs.
class Kernels : public testing::TestWithParam<std::int64_t> {
 protected:
  void SetUp() override { choose(GetParam()); }
  void TearDown() override { choose(0); }

 private:
  static void choose(std::int64_t target) {
    hwy::SetSupportedTargetsForTest(target);  // 0: all of them
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
};

INSTANTIATE_TEST_SUITE_P(Targets, Kernels, testing::ValuesIn(hwy::SupportedAndGeneratedTargets()),
                         [](const auto& target) { return std::string(hwy::TargetName(target.param)); });

/// Lengths that leave every kind of tail behind vectors of up to 64 elements, and one that is many vectors long.
std::vector<std::size_t> lengths() {
  std::vector<std::size_t> all(131);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
  all.push_back(5000);
  return all;
}

/// All bit patterns of 16 bits, in no order that vectors could follow.
std::vector<std::uint16_t> all_halves() {
  std::vector<std::uint16_t> bits(1 << 16);
  for (std::size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<std::uint16_t>(i * 40503U);
  return bits;
}

/// Random bit patterns, and the values around which rounding to float16 turns: every float16, what lies halfway to the
/// next, and the float32s on both sides of each, with both signs.
std::vector<float> floats_for_rounding() {
  std::mt19937 random(3);
  std::vector<float> values;
  for (int i = 0; i < 200'000; ++i) values.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(random())));
  for (std::uint32_t half = 0; half < 0x8000; ++half) {
    const float value = float16_to_float32(static_cast<std::uint16_t>(half));
    const float next = float16_to_float32(static_cast<std::uint16_t>(half + 1));
    const float middle = std::isfinite(next) ? value + (next - value) / 2 : 65520.0F;
    for (const float near : {value, middle, std::nextafter(middle, 0.0F), std::nextafter(middle, kInfinity)}) {
      values.push_back(near);
      values.push_back(-near);
    }
  }
  return values;
}

template <class T>
std::span<const std::byte> bytes_of(const std::vector<T>& values) {
  return std::as_bytes(std::span(values));
}

std::vector<std::uint32_t> bits_of(std::span<const float> values) {
  std::vector<std::uint32_t> bits(values.size());
  std::memcpy(bits.data(), values.data(), values.size_bytes());
  return bits;
}

TEST_P(Kernels, WidenEveryHalfExactly) {
  const std::vector<std::uint16_t> halves = all_halves();
  for (const DataType type : {DataType::bfloat16, DataType::float16}) {
    std::vector<float> expected;
    for (const std::uint16_t half : halves)
      expected.push_back(type == DataType::bfloat16 ? bfloat16_to_float32(half) : float16_to_float32(half));
    std::vector<float> found(halves.size());
    widen_to_float32(type, bytes_of(halves), found.data());
    EXPECT_EQ(bits_of(found), bits_of(expected)) << name_of(type);
  }
}

TEST_P(Kernels, WidenRowsOfEveryLengthFromAnyAddress) {
  const std::vector<std::uint16_t> halves = all_halves();
  for (const std::size_t length : lengths()) {
    std::vector<std::byte> stored(1 + 2 * length);
    std::memcpy(stored.data() + 1, halves.data(), 2 * length);
    std::vector<float> found(length + 1, -7.0F);
    widen_to_float32(DataType::float16, std::span(stored).subspan(1), found.data());
    for (std::size_t i = 0; i < length; ++i)
      ASSERT_EQ(std::bit_cast<std::uint32_t>(found[i]), std::bit_cast<std::uint32_t>(float16_to_float32(halves[i])))
          << i << " of " << length;
    ASSERT_EQ(found[length], -7.0F) << "written behind the end of " << length;
  }
}

TEST_P(Kernels, RoundToFloat16ToNearestEven) {
  const std::vector<float> values = floats_for_rounding();
  std::vector<std::uint16_t> expected;
  std::int64_t lost = 0;
  for (const float value : values) {
    expected.push_back(float32_to_float16(value));
    if (std::isfinite(value) && std::isinf(float16_to_float32(expected.back()))) ++lost;
  }
  std::vector<std::uint16_t> found(values.size());
  EXPECT_EQ(round_to_float16(values, std::as_writable_bytes(std::span(found)).data()), lost);
  ASSERT_GT(lost, 1000);
  for (std::size_t i = 0; i < values.size(); ++i) ASSERT_EQ(found[i], expected[i]) << values[i];
}

TEST_P(Kernels, RoundRowsOfEveryLength) {
  std::vector<float> values = floats_for_rounding();
  for (const std::size_t length : lengths()) {
    std::vector<std::uint16_t> found(length + 1, 0x1234);
    round_to_float16(std::span(values).subspan(3, length), std::as_writable_bytes(std::span(found)).data());
    for (std::size_t i = 0; i < length; ++i)
      ASSERT_EQ(found[i], float32_to_float16(values[i + 3])) << i << " of " << length;
    ASSERT_EQ(found[length], 0x1234) << "written behind the end of " << length;
  }
}

TEST_P(Kernels, CountWhatIsNotFinite) {
  const std::vector<std::uint16_t> halves = all_halves();
  // An exponent of all ones: both signs, and every fraction.
  EXPECT_EQ(count_nonfinite(DataType::bfloat16, bytes_of(halves)), 2 * 128);
  EXPECT_EQ(count_nonfinite(DataType::float16, bytes_of(halves)), 2 * 1024);
  std::vector<float> values = floats_for_rounding();
  EXPECT_EQ(count_nonfinite(DataType::float32, bytes_of(values)),
            std::ranges::count_if(values, [](float value) { return !std::isfinite(value); }));
  for (const std::size_t length : lengths()) {
    std::vector<float> row(length, std::numeric_limits<float>::max());
    ASSERT_EQ(count_nonfinite(DataType::float32, bytes_of(row)), 0) << length;
    if (length == 0) continue;
    row.back() = std::numeric_limits<float>::signaling_NaN();
    row.front() = -kInfinity;
    ASSERT_EQ(count_nonfinite(DataType::float32, bytes_of(row)), length == 1 ? 1 : 2) << length;
  }
}

/// Codes and scales of one row, by the definition.
struct Quantized {
  std::vector<std::uint8_t> codes;
  std::vector<float> scales;
};

Quantized quantize_by_definition(std::span<const float> row, std::size_t block_size, int bits) {
  Quantized result;
  const int zero_point = 1 << (bits - 1);
  for (std::size_t begin = 0; begin < row.size(); begin += block_size) {
    const std::span<const float> block = row.subspan(begin, std::min(block_size, row.size() - begin));
    float extreme = 0.0F;
    for (const float value : block)
      if (std::fabs(value) > std::fabs(extreme) || (value < 0 && value == -extreme)) extreme = value;
    float scale = extreme / static_cast<float>(-zero_point);
    if (std::fabs(scale) < kSmallestNormal) scale = 0.0F;
    const float reciprocal = scale == 0.0F ? 0.0F : 1.0F / scale;
    result.scales.push_back(scale);
    for (const float value : block) {
      const float product = value * reciprocal;
      const float code = std::roundf(product + static_cast<float>(zero_point));
      result.codes.push_back(static_cast<std::uint8_t>(std::clamp(code, 0.0F, static_cast<float>(2 * zero_point - 1))));
    }
    result.codes.resize((begin / block_size + 1) * block_size, static_cast<std::uint8_t>(zero_point));
  }
  return result;
}

/// Rows of what weights are like and of what they should not be like.
std::vector<std::pair<std::string, std::vector<float>>> rows_of(std::size_t length) {
  std::mt19937 random(static_cast<unsigned>(length) + 5);
  std::normal_distribution<float> normal;
  const auto made = [&](const auto& value) {
    std::vector<float> row(length);
    for (std::size_t i = 0; i < length; ++i) row[i] = value(i);
    return row;
  };
  const auto bits = [&] { return static_cast<std::uint32_t>(random()); };
  return {
      {"normal", made([&](std::size_t) { return 0.02F * normal(random); })},
      {"bfloat16", made([&](std::size_t) { return bfloat16_to_float32(float32_to_bfloat16(normal(random))); })},
      {"outliers", made([&](std::size_t i) { return normal(random) * (i % 37 == 5 ? 1000.0F : 0.01F); })},
      {"ties", made([&](std::size_t i) { return i % 16 == 3 ? -8.0F : static_cast<float>(bits() % 33) / 2 - 8.0F; })},
      {"just below ties", made([&](std::size_t i) {
         return i % 16 == 3 ? -8.0F : std::nextafter(static_cast<float>(bits() % 32) / 2 - 8.0F, -9.0F);
       })},
      {"equal", made([&](std::size_t) { return 0.3F; })},
      {"equal, negative", made([&](std::size_t) { return -0.3F; })},
      {"equal magnitudes", made([&](std::size_t) { return bits() % 2 == 0 ? 0.7F : -0.7F; })},
      {"zeros", made([&](std::size_t) { return bits() % 2 == 0 ? 0.0F : -0.0F; })},
      {"denormals", made([&](std::size_t) { return std::bit_cast<float>(bits() % 0x800000U); })},
      {"around the smallest scale", made([&](std::size_t) { return normal(random) * 8 * kSmallestNormal; })},
      {"huge", made([&](std::size_t) { return std::bit_cast<float>((bits() & 0x807fffffU) | 0x7f000000U); })},
      {"any finite bits", made([&](std::size_t) {
         const float value = std::bit_cast<float>(bits());
         return std::isfinite(value) ? value : 1.0F;
       })},
  };
}

TEST_P(Kernels, QuantizeByTheDefinition) {
  for (const std::size_t block_size : {16U, 32U, 64U, 128U, 256U}) {
    for (const int bits : {2, 4, 8}) {
      for (const std::size_t length : {std::size_t{1}, std::size_t{15}, block_size, block_size + 1, 4 * block_size - 3,
                                       7 * block_size, std::size_t{2560}}) {
        for (const auto& [name, row] : rows_of(length)) {
          const Quantized expected = quantize_by_definition(row, block_size, bits);
          Quantized found{std::vector<std::uint8_t>(expected.codes.size()), std::vector<float>(expected.scales.size())};
          quantize_symmetric(row, block_size, bits, found.codes.data(), found.scales.data());
          ASSERT_EQ(bits_of(found.scales), bits_of(expected.scales))
              << name << ", " << length << " values in blocks of " << block_size << ", " << bits << " bits";
          ASSERT_EQ(found.codes, expected.codes)
              << name << ", " << length << " values in blocks of " << block_size << ", " << bits << " bits";
        }
      }
    }
  }
}

TEST_P(Kernels, DequantizeToCodeTimesScale) {
  std::mt19937 random(9);
  for (const std::size_t block_size : {16U, 32U, 256U}) {
    for (const int bits : {4, 8}) {
      for (const std::size_t length : {std::size_t{1}, block_size, 3 * block_size - 5}) {
        const std::size_t blocks = (length + block_size - 1) / block_size;
        std::vector<std::uint8_t> codes(blocks * block_size);
        for (std::uint8_t& code : codes) code = static_cast<std::uint8_t>(random() % (1U << bits));
        std::vector<float> scales(blocks);
        for (float& scale : scales) scale = std::bit_cast<float>(static_cast<std::uint32_t>(random()) & 0xbf7fffffU);
        std::vector<float> expected(length);
        for (std::size_t i = 0; i < length; ++i)
          expected[i] = static_cast<float>(codes[i] - (1 << (bits - 1))) * scales[i / block_size];
        std::vector<float> found(length + 1, 5.0F);
        dequantize_symmetric(codes.data(), scales.data(), block_size, bits, std::span(found).first(length));
        ASSERT_EQ(found.back(), 5.0F) << "written behind the end of " << length;
        found.pop_back();
        ASSERT_EQ(bits_of(found), bits_of(expected)) << length << " in blocks of " << block_size;
      }
    }
  }
}

TEST_P(Kernels, PackLowBitsFirst) {
  std::mt19937 random(11);
  for (const std::size_t bytes : lengths()) {
    std::vector<std::uint8_t> codes(2 * bytes);
    for (std::uint8_t& code : codes) code = static_cast<std::uint8_t>(random() % 16);
    std::vector<std::byte> packed(bytes + 1, std::byte{0x5a});
    pack_codes(codes, 4, packed.data());
    for (std::size_t i = 0; i < bytes; ++i)
      ASSERT_EQ(std::to_integer<int>(packed[i]), codes[2 * i] + 16 * codes[2 * i + 1]) << i << " of " << bytes;
    ASSERT_EQ(packed[bytes], std::byte{0x5a}) << "written behind the end of " << bytes;
    std::vector<std::uint8_t> back(codes.size() + 1, 0xee);
    unpack_codes(packed.data(), 4, std::span(back).first(codes.size()));
    ASSERT_EQ(back.back(), 0xee) << "written behind the end of " << bytes;
    back.pop_back();
    ASSERT_EQ(back, codes);
    pack_codes(codes, 8, reinterpret_cast<std::byte*>(back.data()));
    ASSERT_EQ(back, codes);
  }
}

}  // namespace
}  // namespace q3vl
