// The kernels against scalar code, bit for bit, on every instruction set that this machine has: the bytes of a package
// do not depend on where it was made.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <hwy/highway.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "base/half.h"
#include "kernels/choose_scales.h"
#include "kernels/convert.h"
#include "kernels/feedback.h"
#include "kernels/integer_rows.h"
#include "kernels/pack.h"
#include "kernels/quantize.h"

namespace q3vl::kernel_test {
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

/// Scales and zero points of one row's blocks.
struct Chosen {
  std::vector<float> scales;
  std::vector<std::uint8_t> zero_points;
};

/// One block by a quantiser's definition, a value at a time: the last block of a row is filled with zeros that weigh
/// nothing.
struct Block {
  std::vector<float> values;
  std::vector<float> importance;
  BlockFormat format;

  float last() const { return static_cast<float>(format.last_code()); }
  float middle() const { return static_cast<float>(format.middle_code()); }
  float least() const { return std::min(*std::ranges::min_element(values), format.symmetric ? kInfinity : 0.0F); }
  float most() const { return std::max(*std::ranges::max_element(values), format.symmetric ? -kInfinity : 0.0F); }
};

struct Choice {
  float scale;
  float zero_point;
};

float inverse_of(float x) {
  return std::fabs(x) < kSmallestNormal ? 0.0F : 1.0F / x;
}

Choice nearest(const Block& block) {
  const float least = block.least();
  const float most = block.most();
  if (block.format.symmetric) {
    const float extreme = std::fabs(most) > std::fabs(least) ? most : least;
    return {extreme / -block.middle(), block.middle()};
  }
  const float scale = (most - least) / block.last();
  if (scale < kSmallestNormal) return {scale, block.middle()};
  return {scale, std::clamp(std::nearbyint(-least * (1.0F / scale)), 0.0F, block.last())};
}

/// Keeps the scale that fits the codes of `scale` best when it explains more than `gain`.
void try_scale(const Block& block, float scale, float zero_point, float& gain, Choice& best) {
  float along = 0;
  float square = 0;
  for (std::size_t i = 0; i < block.values.size(); ++i) {
    const float place = block.values[i] * inverse_of(scale);
    const float q = std::nearbyint(std::clamp(place, -zero_point, block.last() - zero_point));
    const float weighted = block.importance[i] * q;
    const float wxq = weighted * block.values[i];
    const float wqq = weighted * q;
    along += wxq;
    square += wqq;
  }
  const float fitted = along * inverse_of(square);
  if (!(along * fitted > gain)) return;
  gain = along * fitted;
  best = {fitted, zero_point};
}

Choice grid(const Block& block) {
  Choice best = nearest(block);
  const float least = block.least();
  const float most = block.most();
  const float whole =
      block.format.symmetric ? std::max(std::fabs(least), std::fabs(most)) / block.middle() : best.scale;
  float gain = 0;
  for (int size = 0; size < 16; ++size) {
    const int bits = block.format.bits;
    const float part = bits == 2   ? static_cast<float>(12 + size) / 32
                       : bits == 4 ? static_cast<float>(21 + size) / 32
                                   : static_cast<float>(248 + size) / 256;
    const float scale = whole * part;
    if (block.format.symmetric) {
      try_scale(block, scale, block.middle(), gain, best);
      try_scale(block, -scale, block.middle(), gain, best);
    } else {
      const float centre = (least + most) * 0.5F * inverse_of(scale);
      try_scale(block, scale, std::clamp(std::nearbyint(block.last() * 0.5F - centre), 0.0F, block.last()), gain, best);
    }
  }
  return best;
}

Choice kquant(Block block) {
  Choice best = nearest(block);
  float squares = 0;
  for (const float value : block.values) {
    const float square = value * value;
    squares += square;
  }
  const float spread = std::sqrt(squares / static_cast<float>(block.values.size()));
  for (std::size_t i = 0; i < block.values.size(); ++i) {
    const float value = block.values[i];
    block.importance[i] *= block.format.symmetric ? value * value : spread + std::fabs(value);
  }
  if (block.format.symmetric) {
    float gain = 0;
    const float extreme = best.scale * block.middle();
    for (int step = -9; step <= 9; ++step)
      try_scale(block, extreme / (block.middle() + 0.1F * static_cast<float>(step)), block.middle(), gain, best);
    return best;
  }
  const float least = block.least();
  float least_error = kInfinity;
  float scale = best.scale;
  float offset = least;
  for (int step = -1; step < 20; ++step) {
    const float reach = step < 0 ? 0.0F : 0.1F * static_cast<float>(step) - 1.0F;
    const float inverse = (block.last() + reach) * inverse_of(block.most() - least);
    const auto code = [&](float value) {
      return std::nearbyint(std::clamp(inverse * (value - least), 0.0F, block.last()));
    };
    float w = 0, wx = 0, wl = 0, wll = 0, wxl = 0;
    for (std::size_t i = 0; i < block.values.size(); ++i) {
      const float value = block.values[i];
      const float weight = block.importance[i];
      const float weighted = weight * code(value);
      const float products[] = {weight * value, weighted * code(value), weighted * value};
      w += weight;
      wx += products[0];
      wl += weighted;
      wll += products[1];
      wxl += products[2];
    }
    const float first = w * wll, second = wl * wl;
    const float determinant = first - second;
    const float over = inverse_of(determinant);
    const float parts[] = {w * wxl, wx * wl, wll * wx, wl * wxl};
    float new_scale = (parts[0] - parts[1]) * over;
    float new_offset = (parts[2] - parts[3]) * over;
    if (new_offset > 0) {
      new_scale = wxl * inverse_of(wll);
      new_offset = 0;
    }
    float error = 0;
    for (std::size_t i = 0; i < block.values.size(); ++i) {
      const float reached = new_scale * code(block.values[i]);
      const float difference = reached + new_offset - block.values[i];
      const float square = difference * difference;
      const float weighted = block.importance[i] * square;
      error += weighted;
    }
    if (!(determinant > 0 && error < least_error)) continue;
    least_error = error;
    scale = new_scale;
    offset = new_offset;
  }
  if (!(scale > 0)) return best;
  return {scale, std::clamp(std::nearbyint(-offset * inverse_of(scale)), 0.0F, block.last())};
}

Choice hqq(const Block& block) {
  const Choice start = nearest(block);
  if (start.scale < kSmallestNormal) return start;
  const float inverse = inverse_of(start.scale);
  float zero_point = -block.least() * inverse;
  float best = zero_point;
  float least_error = kInfinity;
  float beta = 10;
  for (int step = 0; step < 20; ++step) {
    const float shrink = 1 / beta;
    float error = 0;
    float sum = 0;
    for (const float value : block.values) {
      const float place = value * inverse;
      const float code = std::nearbyint(std::clamp(place + zero_point, 0.0F, block.last()));
      const float reached = (code - zero_point) * start.scale;
      const float residual = value - reached;
      const float loss = shrink * inverse_of(std::sqrt(std::sqrt(std::fabs(residual))));
      const float kept = std::copysign(std::max(std::fabs(residual) - loss, 0.0F), residual);
      const float target = (value - kept) * inverse;
      sum += code - target;
      error += std::fabs(residual);
    }
    if (error < least_error) {
      least_error = error;
      best = zero_point;
    }
    zero_point = sum / static_cast<float>(block.values.size());
    beta *= 1.01F;
  }
  return {start.scale, std::clamp(std::nearbyint(best), 0.0F, block.last())};
}

struct Method {
  const char* name;
  decltype(&choose_grid) choose;
  Choice (*defined)(const Block&);
};

const std::vector<Method> kMethods = {{"nearest", choose_nearest, nearest},
                                      {"grid", choose_grid, grid},
                                      {"kquant", choose_kquant, [](const Block& block) { return kquant(block); }},
                                      {"hqq", choose_hqq, hqq}};

Chosen choose_by_definition(const Method& method, std::span<const float> row, Importance importance,
                            const BlockFormat& format) {
  Chosen chosen;
  for (std::size_t begin = 0; begin < row.size(); begin += format.size) {
    Block block{std::vector<float>(format.size), std::vector<float>(format.size), format};
    for (std::size_t i = begin; i < std::min(begin + format.size, row.size()); ++i) {
      block.values[i - begin] = row[i];
      block.importance[i - begin] = importance.empty() ? 1.0F : importance[i];
    }
    // Round to nearest looks at the values alone, so that it also serves as what the others begin with.
    if (method.choose == choose_nearest) block.values.resize(std::min(format.size, row.size() - begin));
    const Choice choice = method.defined(block);
    chosen.scales.push_back(choice.scale);
    chosen.zero_points.push_back(static_cast<std::uint8_t>(choice.zero_point));
  }
  return chosen;
}

std::vector<std::uint8_t> codes_by_definition(std::span<const float> row, const BlockFormat& format,
                                              const Chosen& blocks) {
  std::vector<std::uint8_t> codes;
  for (std::size_t i = 0; i < format.blocks(row.size()) * format.size; ++i) {
    const float scale = blocks.scales[i / format.size];
    const std::uint8_t zero_point = blocks.zero_points[i / format.size];
    if (i >= row.size()) {
      codes.push_back(zero_point);
      continue;
    }
    const float product = row[i] * inverse_of(scale);
    const float place =
        std::clamp(product + static_cast<float>(zero_point), 0.0F, static_cast<float>(format.last_code()));
    codes.push_back(static_cast<std::uint8_t>(std::floor(place + 0.5F)));
  }
  return codes;
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

/// Weights of columns that differ by orders of magnitude, some of them nothing.
std::vector<float> importance_of(std::size_t columns) {
  std::mt19937 random(21);
  std::vector<float> importance(columns);
  for (float& value : importance) value = random() % 10 == 0 ? 0.0F : std::exp2(static_cast<float>(random() % 12));
  return importance;
}

TEST_P(Kernels, ChooseScalesByTheDefinitions) {
  for (const Method& method : kMethods) {
    for (const BlockFormat& format :
         {BlockFormat{16, 4, false}, BlockFormat{32, 4, true}, BlockFormat{32, 4, false}, BlockFormat{32, 2, false},
          BlockFormat{64, 2, true}, BlockFormat{128, 8, true}, BlockFormat{256, 8, false}}) {
      if (format.symmetric && method.choose == choose_hqq) continue;
      for (const std::size_t length :
           {std::size_t{1}, std::size_t{15}, format.size + 1, 4 * format.size - 3, 19 * format.size}) {
        for (const auto& [name, row] : rows_of(length)) {
          // Squares of huge values overflow; no checkpoint gets that far, as float16 cannot hold their scales.
          if (method.choose != choose_nearest && (name == "huge" || name == "any finite bits")) continue;
          for (const std::vector<float>& importance : {std::vector<float>(), importance_of(length)}) {
            const Chosen expected = choose_by_definition(method, row, importance, format);
            Chosen found{std::vector<float>(expected.scales.size()), std::vector<std::uint8_t>(expected.scales.size())};
            method.choose(row, importance, format, {found.scales, found.zero_points});
            const std::string where =
                fmt::format("{}, {}, {} values in blocks of {}, {} bits, {}", method.name, name, length, format.size,
                            format.bits, format.symmetric ? "symmetric" : "asymmetric");
            // Of a scale of zero the sign means nothing.
            for (std::size_t i = 0; i < expected.scales.size(); ++i)
              ASSERT_EQ(found.scales[i], expected.scales[i]) << where << ", block " << i;
            ASSERT_EQ(found.zero_points, expected.zero_points) << where;
          }
        }
      }
    }
  }
}

/// Scales as they are stored, for the rows' blocks.
Chosen stored_scales(std::span<const float> row, const BlockFormat& format) {
  Chosen chosen{std::vector<float>(format.blocks(row.size())), std::vector<std::uint8_t>(format.blocks(row.size()))};
  choose_nearest(row, {}, format, {chosen.scales, chosen.zero_points});
  for (float& scale : chosen.scales) {
    scale = float16_to_float32(float32_to_float16(scale));
    if (!std::isfinite(scale)) scale = 1.0F;
  }
  return chosen;
}

TEST_P(Kernels, AssignCodesByTheDefinition) {
  for (const std::size_t block_size : {16U, 32U, 64U, 128U, 256U}) {
    for (const int bits : {2, 4, 8}) {
      for (const bool symmetric : {true, false}) {
        const BlockFormat format{block_size, bits, symmetric};
        for (const std::size_t length : {std::size_t{1}, std::size_t{15}, block_size, block_size + 1,
                                         4 * block_size - 3, 7 * block_size, std::size_t{2560}}) {
          for (const auto& [name, row] : rows_of(length)) {
            Chosen blocks = stored_scales(row, format);
            const std::vector<std::uint8_t> expected = codes_by_definition(row, format, blocks);
            std::vector<std::uint8_t> found(expected.size());
            assign_codes(row, format, {blocks.scales, blocks.zero_points}, found.data());
            ASSERT_EQ(found, expected) << name << ", " << length << " values in blocks of " << block_size << ", "
                                       << bits << " bits";
          }
        }
      }
    }
  }
}

TEST_P(Kernels, FindTheRangeOfEveryBlock) {
  for (const std::size_t block_size : {16U, 128U, 256U}) {
    for (const std::size_t length : {std::size_t{1}, block_size, 3 * block_size + 7}) {
      for (const auto& [name, row] : rows_of(length)) {
        std::vector<float> least((length + block_size - 1) / block_size);
        std::vector<float> most(least.size());
        block_ranges(row, block_size, least.data(), most.data());
        for (std::size_t i = 0; i < least.size(); ++i) {
          const auto block = std::span(row).subspan(i * block_size, std::min(block_size, length - i * block_size));
          ASSERT_EQ(least[i], *std::ranges::min_element(block)) << name;
          ASSERT_EQ(most[i], *std::ranges::max_element(block)) << name;
        }
      }
    }
  }
}

TEST_P(Kernels, DequantizeToCodeTimesScale) {
  std::mt19937 random(9);
  for (const std::size_t block_size : {16U, 32U, 256U}) {
    for (const int bits : {2, 4, 8}) {
      for (const std::size_t length : {std::size_t{1}, block_size, 3 * block_size - 5}) {
        const BlockFormat format{block_size, bits, false};
        std::vector<std::uint8_t> codes(format.blocks(length) * block_size);
        for (std::uint8_t& code : codes) code = static_cast<std::uint8_t>(random() % (1U << bits));
        std::vector<float> scales(format.blocks(length));
        std::vector<std::uint8_t> zero_points(scales.size());
        for (float& scale : scales) scale = std::bit_cast<float>(static_cast<std::uint32_t>(random()) & 0xbf7fffffU);
        for (std::uint8_t& zero_point : zero_points) zero_point = static_cast<std::uint8_t>(random() % (1U << bits));
        std::vector<float> expected(length);
        for (std::size_t i = 0; i < length; ++i)
          expected[i] = static_cast<float>(codes[i] - zero_points[i / block_size]) * scales[i / block_size];
        std::vector<float> found(length + 1, 5.0F);
        dequantize(codes.data(), format, {scales, zero_points}, std::span(found).first(length));
        ASSERT_EQ(found.back(), 5.0F) << "written behind the end of " << length;
        found.pop_back();
        ASSERT_EQ(bits_of(found), bits_of(expected)) << length << " in blocks of " << block_size;
      }
    }
  }
}

TEST_P(Kernels, SpreadErrorsOverLaterColumns) {
  std::mt19937 random(13);
  std::normal_distribution<float> normal;
  for (const std::size_t columns : lengths()) {
    for (const std::size_t rows : {1U, 4U, 7U}) {
      constexpr std::size_t kPanel = 19;
      const std::size_t stride = columns + 3;
      std::vector<float> values(rows * stride), errors(rows * kPanel), factors(kPanel * stride);
      for (std::vector<float>* list : {&values, &errors, &factors})
        for (float& value : *list) value = normal(random);
      std::vector<float> expected = values;
      for (std::size_t row = 0; row < rows; ++row)
        for (std::size_t j = 0; j < columns; ++j)
          for (std::size_t i = 0; i < kPanel; ++i) {
            const float part = errors[row * kPanel + i] * factors[i * stride + j];
            expected[row * stride + j] -= part;
          }
      spread_errors(values.data(), stride, rows, columns, errors.data(), kPanel, factors.data(), stride);
      ASSERT_EQ(bits_of(values), bits_of(expected)) << rows << " rows of " << columns;
    }
  }
}

TEST_P(Kernels, QuantizeABlockWithFeedback) {
  std::mt19937 random(17);
  std::normal_distribution<float> normal;
  for (const std::size_t width : {1U, 16U, 33U, 128U}) {
    const std::size_t count = std::min<std::size_t>(width, 32);
    const std::size_t stride = width + 5;
    std::vector<float> values(width + 1), factors(width * stride);
    for (std::vector<float>* list : {&values, &factors})
      for (float& value : *list) value = normal(random);
    const float scale = 0.25F;
    const std::uint8_t zero_point = 6;
    std::vector<float> expected = values;
    std::vector<std::uint8_t> expected_codes;
    std::vector<float> expected_errors;
    for (std::size_t i = 0; i < count; ++i) {
      const float place = std::clamp(expected[i] * 4 + 6, 0.0F, 15.0F);
      expected_codes.push_back(static_cast<std::uint8_t>(std::floor(place + 0.5F)));
      const float reached = static_cast<float>(expected_codes.back() - 6) * 0.25F;
      expected_errors.push_back(expected[i] - reached);
      for (std::size_t j = i + 1; j < width; ++j) {
        const float part = expected_errors.back() * factors[i * stride + j];
        expected[j] -= part;
      }
    }
    std::vector<std::uint8_t> codes(count);
    std::vector<float> errors(count);
    quantize_block_with_feedback(values.data(), count, width, factors.data(), stride, 15, scale, zero_point,
                                 codes.data(), errors.data());
    EXPECT_EQ(codes, expected_codes);
    EXPECT_EQ(bits_of(errors), bits_of(expected_errors));
    EXPECT_EQ(bits_of(values), bits_of(expected)) << width;
  }
}

/// By the definitions, in scalar code.
float naive_integer_scale(std::span<const float> row) {
  float largest = 0;
  for (std::size_t i = 0; i < row.size(); i += 2) {
    float above = 0;
    float below = 0;
    for (const float value : row.subspan(i, std::min<std::size_t>(2, row.size() - i)))
      value > 0 ? above += value : below -= value;
    largest = std::max({largest, above, below});
  }
  return largest / 127.0F;
}

TEST_P(Kernels, RoundRowsToIntegersWhoseNeighboursFitSixteenBits) {
  std::mt19937 random(17);
  std::normal_distribution<float> normal(0.0F, 0.1F);
  for (const std::size_t length : lengths()) {
    std::vector<float> row(length);
    for (float& value : row) value = normal(random);
    if (length > 40) std::fill_n(row.begin() + 10, 20, -0.5F);  // neighbours that are the largest, and of one sign
    const float scale = integer_scale(row);
    ASSERT_EQ(scale, naive_integer_scale(row)) << length;
    std::vector<std::int8_t> codes(length + 1, 0x5a);
    round_to_integers(row, scale, codes.data());
    ASSERT_EQ(codes[length], 0x5a) << "written behind the end of " << length;
    for (std::size_t i = 0; i < length; ++i)
      ASSERT_EQ(codes[i], static_cast<int>(std::nearbyint(row[i] * (1.0F / scale)))) << i << " of " << length;
    // What ONNX Runtime adds up in 16 bits on processors without VNNI, with activations of 255 and of 0.
    for (std::size_t i = 0; i + 1 < length; i += 2) {
      ASSERT_LE(255 * (std::max<int>(codes[i], 0) + std::max<int>(codes[i + 1], 0)), 32767);
      ASSERT_GE(255 * (std::min<int>(codes[i], 0) + std::min<int>(codes[i + 1], 0)), -32768);
    }
  }
}

TEST_P(Kernels, RoundRowsOfNothingToZeros) {
  for (const float tiny : {0.0F, 1e-41F}) {
    const std::vector<float> row(70, tiny);
    EXPECT_EQ(integer_scale(row), 0.0F);
    std::vector<std::int8_t> codes(row.size(), 1);
    round_to_integers(row, 0.0F, codes.data());
    EXPECT_EQ(codes, std::vector<std::int8_t>(row.size(), 0));
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
    for (std::uint8_t& code : codes) code = static_cast<std::uint8_t>(code % 4);
    std::vector<std::byte> quarters(bytes / 2 + 1, std::byte{0x5a});
    const auto four = std::span(codes).first(bytes / 2 * 4);
    pack_codes(four, 2, quarters.data());
    ASSERT_EQ(quarters[bytes / 2], std::byte{0x5a}) << "written behind the end of " << bytes / 2;
    for (std::size_t i = 0; i < bytes / 2; ++i)
      ASSERT_EQ(std::to_integer<int>(quarters[i]),
                four[4 * i] + 4 * four[4 * i + 1] + 16 * four[4 * i + 2] + 64 * four[4 * i + 3]);
    std::vector<std::uint8_t> unpacked(four.size());
    unpack_codes(quarters.data(), 2, unpacked);
    ASSERT_TRUE(std::ranges::equal(unpacked, four));
    pack_codes(codes, 4, packed.data());
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
}  // namespace q3vl::kernel_test
