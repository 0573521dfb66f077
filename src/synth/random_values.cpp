#include "synth/random_values.h"

#include <fmt/format.h>

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

template <typename Stored, typename Convert>
void fill(const SynthTensor& tensor, std::uint64_t seed, std::uint64_t first, std::span<std::byte> into,
          Convert convert) {
  const std::uint64_t key = mix(hash(tensor.stream) ^ mix(seed + kGolden));
  const auto scale = static_cast<float>(tensor.standard_deviation / kByteSumDeviation);
  for (std::uint64_t i = 0; i < into.size() / sizeof(Stored); ++i) {
    const std::uint64_t bits = mix(key + (first + i + 1) * kGolden);
    const Stored value = convert(tensor.mean + static_cast<float>(centred_byte_sum(bits)) * scale);
    std::memcpy(into.data() + i * sizeof(Stored), &value, sizeof(Stored));
  }
}

}  // namespace

void random_values(const SynthTensor& tensor, std::uint64_t seed, std::uint64_t first, std::span<std::byte> into) {
  switch (tensor.type) {
    case DataType::bfloat16:
      return fill<std::uint16_t>(tensor, seed, first, into, float32_to_bfloat16);
    case DataType::float16:
      return fill<std::uint16_t>(tensor, seed, first, into, float32_to_float16);
    case DataType::float32:
      return fill<float>(tensor, seed, first, into, [](float value) { return value; });
    default:
      throw Error(ErrorKind::usage,
                  fmt::format("tensor \"{}\": random values can be bfloat16, float16 or float32, not {}", tensor.name,
                              name_of(tensor.type)));
  }
}

}  // namespace q3vl
