#include "kernels/integer_rows.h"

#include <algorithm>
#include <cmath>
#include <limits>

// Highway compiles what follows once for each instruction set, and the tables at the end choose at run time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/integer_rows.cpp"  // NOLINT(bugprone-suspicious-include)
#include <hwy/foreach_target.h>                        // IWYU pragma: keep
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace q3vl::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr hn::ScalableTag<float> kFloats{};

/// The largest magnitude that a row's scale must leave room for: of a value, and of two neighbours' sum.
float largest_sum(const float* row, std::size_t count) {
  using Vector = hn::Vec<decltype(kFloats)>;
  const std::size_t lanes = hn::Lanes(kFloats);
  const Vector zero = hn::Zero(kFloats);
  Vector most = zero;
  std::size_t i = 0;
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    Vector even;
    Vector odd;
    hn::LoadInterleaved2(kFloats, row + i, even, odd);
    const Vector above = hn::Add(hn::Max(even, zero), hn::Max(odd, zero));
    const Vector below = hn::Add(hn::Min(even, zero), hn::Min(odd, zero));
    most = hn::Max(most, hn::Max(above, hn::Neg(below)));
  }
  float largest = hn::GetLane(hn::MaxOfLanes(kFloats, most));
  for (; i < count; i += 2) {
    const float even = row[i];
    const float odd = i + 1 < count ? row[i + 1] : 0.0F;
    largest = std::max(largest, std::max(even, 0.0F) + std::max(odd, 0.0F));
    largest = std::max(largest, -(std::min(even, 0.0F) + std::min(odd, 0.0F)));
  }
  return largest;
}

void round_scaled(const float* row, std::size_t count, float inverse, std::int8_t* codes) {
  const hn::Rebind<std::int8_t, decltype(kFloats)> bytes;
  const std::size_t lanes = hn::Lanes(kFloats);
  const auto factor = hn::Set(kFloats, inverse);
  std::size_t i = 0;
  for (; i + lanes <= count; i += lanes) {
    const auto rounded = hn::NearestInt(hn::Mul(hn::LoadU(kFloats, row + i), factor));
    hn::StoreU(hn::DemoteTo(bytes, rounded), bytes, codes + i);
  }
  for (; i < count; ++i) codes[i] = static_cast<std::int8_t>(std::nearbyint(row[i] * inverse));
}

}  // namespace q3vl::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace q3vl {
namespace {

HWY_EXPORT(largest_sum);
HWY_EXPORT(round_scaled);

}  // namespace

float integer_scale(std::span<const float> row) {
  // Each of two neighbours may be rounded up by a half: at 127 for both, their codes sum to 128 at most.
  const float scale = HWY_DYNAMIC_DISPATCH(largest_sum)(row.data(), row.size()) / 127.0F;
  return scale >= std::numeric_limits<float>::min() ? scale : 0.0F;
}

void round_to_integers(std::span<const float> row, float scale, std::int8_t* codes) {
  if (scale == 0.0F)
    std::fill_n(codes, row.size(), std::int8_t{0});
  else
    HWY_DYNAMIC_DISPATCH(round_scaled)(row.data(), row.size(), 1.0F / scale, codes);
}

}  // namespace q3vl

#endif  // HWY_ONCE
