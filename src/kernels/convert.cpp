#include "kernels/convert.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "qwen3vl_export/error.h"

// Highway compiles what follows once for each instruction set, and the tables at the end choose at run time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/convert.cpp"  // NOLINT(bugprone-suspicious-include)
#include <hwy/foreach_target.h>                   // IWYU pragma: keep
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace q3vl::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// No more lanes than that, so that a tail, which goes through a copy of a whole vector, stays cheap.
constexpr hn::CappedTag<float, 16> kFloats{};
using Floats = decltype(kFloats);
using Words = hn::Rebind<std::uint32_t, Floats>;
using Halves = hn::Rebind<std::uint16_t, Floats>;

/// Calls `each(index, count)` for whole vectors of `lanes` elements and once for what is left.
template <class Each>
HWY_INLINE void for_each_vector(std::size_t count, std::size_t lanes, const Each& each) {
  std::size_t index = 0;
  for (; index + lanes <= count; index += lanes) each(index, lanes);
  if (index < count) each(index, count - index);
}

/// Loads `count` elements at `from`, which need no alignment, and zeros for the other lanes.
template <class D>
HWY_INLINE hn::Vec<D> load(D d, const std::byte* from, std::size_t count) {
  using T = hn::TFromD<D>;
  if (hn::MaxLanes(d) == 1 || count == hn::Lanes(d)) return hn::LoadU(d, reinterpret_cast<const T*>(from));
  HWY_ALIGN T lanes[hn::MaxLanes(d)] = {};
  std::memcpy(lanes, from, count * sizeof(T));
  return hn::Load(d, lanes);
}

template <class D>
HWY_INLINE void store(D d, hn::Vec<D> vector, std::byte* into, std::size_t count) {
  using T = hn::TFromD<D>;
  if (hn::MaxLanes(d) == 1 || count == hn::Lanes(d)) return hn::StoreU(vector, d, reinterpret_cast<T*>(into));
  HWY_ALIGN T lanes[hn::MaxLanes(d)];
  hn::Store(vector, d, lanes);
  std::memcpy(into, lanes, count * sizeof(T));
}

/// All bits of the exponent set: infinity or NaN in every format. Lanes that are not loaded are zero, so finite.
template <class D>
std::int64_t count_with_exponent(D d, const std::byte* stored, std::size_t count, hn::TFromD<D> exponent) {
  const auto bits = hn::Set(d, exponent);
  std::size_t found = 0;
  for_each_vector(count, hn::Lanes(d), [&](std::size_t index, std::size_t lanes) HWY_ATTR {
    const auto values = load(d, stored + index * sizeof(exponent), lanes);
    found += hn::CountTrue(d, hn::Eq(hn::And(values, bits), bits));
  });
  return static_cast<std::int64_t>(found);
}

std::int64_t count_nonfinite_bfloat16(const std::byte* stored, std::size_t count) {
  return count_with_exponent(hn::ScalableTag<std::uint16_t>(), stored, count, 0x7f80);
}

std::int64_t count_nonfinite_float16(const std::byte* stored, std::size_t count) {
  return count_with_exponent(hn::ScalableTag<std::uint16_t>(), stored, count, 0x7c00);
}

std::int64_t count_nonfinite_float32(const std::byte* stored, std::size_t count) {
  return count_with_exponent(hn::ScalableTag<std::uint32_t>(), stored, count, 0x7f800000);
}

void widen_bfloat16(const std::byte* stored, std::size_t count, float* into) {
  const Words words;
  for_each_vector(count, hn::Lanes(words), [&](std::size_t index, std::size_t lanes) HWY_ATTR {
    const auto bits = hn::PromoteTo(words, load(Halves(), stored + index * sizeof(std::uint16_t), lanes));
    store(words, hn::ShiftLeft<16>(bits), reinterpret_cast<std::byte*>(into + index), lanes);
  });
}

void widen_float16(const std::byte* stored, std::size_t count, float* into) {
  const Words words;
  const hn::RebindToSigned<Words> integers;
  const auto last_denormal = hn::Set(words, 0x3ff);
  const auto last_finite = hn::Set(words, 0x7bff);
  const auto rebias = hn::Set(words, (127 - 15) << 23);
  const auto denormal_unit = hn::Set(kFloats, 0x1p-24F);
  for_each_vector(count, hn::Lanes(words), [&](std::size_t index, std::size_t lanes) HWY_ATTR {
    const auto half = hn::PromoteTo(words, load(Halves(), stored + index * sizeof(std::uint16_t), lanes));
    const auto magnitude = hn::And(half, hn::Set(words, 0x7fff));
    const auto sign = hn::ShiftLeft<16>(hn::Xor(half, magnitude));
    auto wide = hn::Add(hn::ShiftLeft<13>(magnitude), rebias);
    // Infinity and NaN have the largest exponent in both formats: it is moved by as much again.
    wide = hn::Add(wide, hn::IfThenElseZero(hn::Gt(magnitude, last_finite), rebias));
    const auto denormal = hn::Mul(hn::ConvertTo(kFloats, hn::BitCast(integers, magnitude)), denormal_unit);
    wide = hn::IfThenElse(hn::Gt(magnitude, last_denormal), wide, hn::BitCast(words, denormal));
    store(words, hn::Or(wide, sign), reinterpret_cast<std::byte*>(into + index), lanes);
  });
}

/// By integers throughout: instructions that do this differ between machines in what they make of NaN.
std::int64_t round_float16(const float* values, std::size_t count, std::byte* into) {
  const Words words;
  const auto infinity = hn::Set(words, 0x7f800000);
  const auto last_held = hn::Set(words, 0x477fefff);     // just below halfway from 65504 to what would be next
  const auto first_normal = hn::Set(words, 0x38800000);  // 2^-14
  // Adding 0.5 to a smaller number puts the units of float16's denormals into the lowest bits, rounded to nearest even.
  const auto half = hn::Set(kFloats, 0.5F);
  std::size_t lost = 0;
  for_each_vector(count, hn::Lanes(words), [&](std::size_t index, std::size_t lanes) HWY_ATTR {
    const auto bits = load(words, reinterpret_cast<const std::byte*>(values + index), lanes);
    const auto magnitude = hn::And(bits, hn::Set(words, 0x7fffffff));
    const auto sign = hn::ShiftRight<16>(hn::Xor(bits, magnitude));
    const auto odd = hn::And(hn::ShiftRight<13>(magnitude), hn::Set(words, 1));
    const auto rounded = hn::Add(hn::Add(magnitude, hn::Set(words, 0xfff)), odd);
    auto narrow = hn::ShiftRight<13>(hn::Sub(rounded, hn::Set(words, 0x38000000)));
    const auto small = hn::Min(magnitude, first_normal);
    const auto denormal =
        hn::Sub(hn::BitCast(words, hn::Add(hn::BitCast(kFloats, small), half)), hn::BitCast(words, half));
    narrow = hn::IfThenElse(hn::Lt(magnitude, first_normal), denormal, narrow);
    const auto beyond = hn::Gt(magnitude, last_held);
    narrow = hn::IfThenElse(beyond, hn::Set(words, 0x7c00), narrow);
    lost += hn::CountTrue(words, hn::And(beyond, hn::Lt(magnitude, infinity)));
    const auto quiet_nan =
        hn::Or(hn::And(hn::ShiftRight<13>(magnitude), hn::Set(words, 0x3ff)), hn::Set(words, 0x7e00));
    narrow = hn::IfThenElse(hn::Gt(magnitude, infinity), quiet_nan, narrow);
    store(Halves(), hn::TruncateTo(Halves(), hn::Or(narrow, sign)), into + index * sizeof(std::uint16_t), lanes);
  });
  return static_cast<std::int64_t>(lost);
}

}  // namespace q3vl::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace q3vl {
namespace {

HWY_EXPORT(count_nonfinite_bfloat16);
HWY_EXPORT(count_nonfinite_float16);
HWY_EXPORT(count_nonfinite_float32);
HWY_EXPORT(widen_bfloat16);
HWY_EXPORT(widen_float16);
HWY_EXPORT(round_float16);

[[noreturn]] void fail_for(DataType type) {
  throw Error(ErrorKind::internal, "weights are not of type " + std::string(name_of(type)));
}

}  // namespace

std::int64_t count_nonfinite(DataType type, std::span<const std::byte> stored) {
  const std::size_t count = stored.size() / size_of(type);
  switch (type) {
    case DataType::bfloat16:
      return HWY_DYNAMIC_DISPATCH(count_nonfinite_bfloat16)(stored.data(), count);
    case DataType::float16:
      return HWY_DYNAMIC_DISPATCH(count_nonfinite_float16)(stored.data(), count);
    case DataType::float32:
      return HWY_DYNAMIC_DISPATCH(count_nonfinite_float32)(stored.data(), count);
    default:
      fail_for(type);
  }
}

void zero_nonfinite(std::span<float> values) {
  for (float& value : values)
    if (!std::isfinite(value)) value = 0;
}

void widen_to_float32(DataType type, std::span<const std::byte> stored, float* into) {
  const std::size_t count = stored.size() / size_of(type);
  switch (type) {
    case DataType::bfloat16:
      return HWY_DYNAMIC_DISPATCH(widen_bfloat16)(stored.data(), count, into);
    case DataType::float16:
      return HWY_DYNAMIC_DISPATCH(widen_float16)(stored.data(), count, into);
    case DataType::float32:
      std::ranges::copy(stored, reinterpret_cast<std::byte*>(into));
      return;
    default:
      fail_for(type);
  }
}

std::int64_t round_to_float16(std::span<const float> values, std::byte* into) {
  return HWY_DYNAMIC_DISPATCH(round_float16)(values.data(), values.size(), into);
}

}  // namespace q3vl

#endif  // HWY_ONCE
