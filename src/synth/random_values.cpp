#include "synth/random_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "base/half.h"

namespace q3vl {
namespace {

constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15U;

/// The output function of SplitMix64.
constexpr std::uint64_t mix(std::uint64_t state) {
  state = (state ^ (state >> 30)) * 0xbf58476d1ce4e5b9U;
  state = (state ^ (state >> 27)) * 0x94d049bb133111ebU;
  return state ^ (state >> 31);
}

/// FNV-1a.
constexpr std::uint64_t hash(std::string_view text) {
  std::uint64_t value = 0xcbf29ce484222325U;
  for (const char c : text) value = (value ^ static_cast<unsigned char>(c)) * 0x100000001b3U;
  return value;
}

/// The sum of eight uniform bytes less its mean, 1020: near enough to a normal distribution.
constexpr std::int32_t centred_byte_sum(std::uint64_t bits) {
  constexpr std::uint64_t kEven = 0x00ff00ff00ff00ffU;
  const std::uint64_t pairs = (bits & kEven) + ((bits >> 8) & kEven);
  return static_cast<std::int32_t>((pairs * 0x0001000100010001U) >> 48) - 1020;
}

/// Its standard deviation: eight times the variance of a byte, (256² − 1) / 12.
const double kByteSumDeviation = std::sqrt(8 * (65536.0 - 1) / 12);

/// The key of a stream of random numbers.
std::uint64_t key_of(std::string_view stream, std::uint64_t seed) {
  return mix(hash(stream) ^ mix(seed + kGolden));
}

/// Number `index` of a stream.
constexpr std::uint64_t number(std::uint64_t key, std::uint64_t index) {
  return mix(key + (index + 1) * kGolden);
}

/// About Student's t with four degrees of freedom, divided by its standard deviation, √2: a normal value over the root
/// mean square of four others. Additions, a square root and a division round alike on every machine.
class HeavyTails {
 public:
  explicit HeavyTails(std::uint64_t key) : key_(key) {
    for (std::size_t i = 0; i < others_.size(); ++i) others_[i] = mix(key + i);
  }

  double operator()(std::uint64_t index) const {
    std::int32_t squares = 0;
    for (const std::uint64_t key : others_) {
      const std::int32_t other = centred_byte_sum(number(key, index));
      squares += other * other;
    }
    return std::sqrt(2.0) * centred_byte_sum(number(key_, index)) / std::sqrt(std::max(squares, 1));
  }

 private:
  std::uint64_t key_;
  std::array<std::uint64_t, 4> others_{};
};

/// What `count` rows or columns are multiplied by: one of `one_of`, and at least one, by `factor`, the others by 1.
std::vector<float> factors(std::uint64_t count, std::uint64_t one_of, float factor, std::uint64_t key) {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> order;
  for (std::uint64_t i = 0; i < count; ++i) order.emplace_back(number(key, i), i);
  std::sort(order.begin(), order.end());
  order.resize(std::min(count, std::max<std::uint64_t>(1, (count + one_of / 2) / one_of)));
  std::vector<float> list(count, 1);
  for (const auto& [random, index] : order) list[index] = factor;
  return list;
}

/// What the values of a matrix are multiplied by.
class Outliers {
 public:
  Outliers(const SynthTensor& tensor, std::uint64_t seed)
      : rows_(static_cast<std::size_t>(tensor.shape.at(0)), 1),
        columns_(static_cast<std::size_t>(tensor.shape.at(1)), 1) {
    if (tensor.outlier_rows) rows_ = factors(rows_.size(), 200, 4, key_of(tensor.stream + " rows", seed));
    if (!tensor.outlier_channels.empty())
      columns_ = factors(columns_.size(), 100, 10, key_of(tensor.outlier_channels, seed));
  }

  float operator()(std::uint64_t index) const {
    return rows_[index / columns_.size()] * columns_[index % columns_.size()];
  }

 private:
  std::vector<float> rows_;
  std::vector<float> columns_;
};

/// Stores draw(i), which is in float32, for the elements from `first` on.
template <typename Stored, typename Draw, typename Convert>
void fill(std::uint64_t first, std::span<std::byte> into, const Draw& draw, Convert convert) {
  for (std::uint64_t i = 0; i < into.size() / sizeof(Stored); ++i) {
    const Stored value = convert(draw(first + i));
    std::memcpy(into.data() + i * sizeof(Stored), &value, sizeof(Stored));
  }
}

template <typename Draw>
void fill(const SynthTensor& tensor, std::uint64_t first, std::span<std::byte> into, const Draw& draw) {
  switch (tensor.type) {
    case DataType::bfloat16:
      return fill<std::uint16_t>(first, into, draw, float32_to_bfloat16);
    case DataType::float16:
      return fill<std::uint16_t>(first, into, draw, float32_to_float16);
    case DataType::float32:
      return fill<float>(first, into, draw, [](float value) { return value; });
    default:
      throw Error(ErrorKind::usage,
                  fmt::format("tensor \"{}\": random values can be bfloat16, float16 or float32, not {}", tensor.name,
                              name_of(tensor.type)));
  }
}

}  // namespace

void random_values(const SynthTensor& tensor, std::uint64_t seed, std::uint64_t first, std::span<std::byte> into) {
  const std::uint64_t key = key_of(tensor.stream, seed);
  const auto scale = static_cast<float>(tensor.standard_deviation / kByteSumDeviation);
  const auto normal = [&](std::uint64_t i) {
    return tensor.mean + static_cast<float>(centred_byte_sum(number(key, i))) * scale;
  };
  if (tensor.heavy_tails) {
    const HeavyTails tails(key);
    fill(tensor, first, into,
         [&](std::uint64_t i) { return static_cast<float>(tensor.mean + tensor.standard_deviation * tails(i)); });
  } else if (tensor.outlier_rows || !tensor.outlier_channels.empty()) {
    const Outliers outliers(tensor, seed);
    fill(tensor, first, into, [&](std::uint64_t i) { return normal(i) * outliers(i); });
  } else {
    fill(tensor, first, into, normal);
  }
}

}  // namespace q3vl
