#include "kernels/pack.h"

#include <algorithm>

// Highway compiles what follows once for each instruction set, and the tables at the end choose at run time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/pack.cpp"  // NOLINT(bugprone-suspicious-include)
#include <hwy/foreach_target.h>                // IWYU pragma: keep
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace q3vl::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr hn::ScalableTag<std::uint8_t> kBytes{};

void pack_nibbles(const std::uint8_t* codes, std::size_t bytes, std::uint8_t* into) {
  const std::size_t lanes = hn::Lanes(kBytes);
  std::size_t i = 0;
  for (; i + lanes <= bytes; i += lanes) {
    hn::Vec<decltype(kBytes)> even;
    hn::Vec<decltype(kBytes)> odd;
    hn::LoadInterleaved2(kBytes, codes + 2 * i, even, odd);
    hn::StoreU(hn::Or(even, hn::ShiftLeft<4>(odd)), kBytes, into + i);
  }
  for (; i < bytes; ++i) into[i] = static_cast<std::uint8_t>(codes[2 * i] | codes[2 * i + 1] << 4);
}

void unpack_nibbles(const std::uint8_t* packed, std::size_t bytes, std::uint8_t* codes) {
  const std::size_t lanes = hn::Lanes(kBytes);
  const auto low = hn::Set(kBytes, 0x0f);
  std::size_t i = 0;
  for (; i + lanes <= bytes; i += lanes) {
    const auto both = hn::LoadU(kBytes, packed + i);
    hn::StoreInterleaved2(hn::And(both, low), hn::ShiftRight<4>(both), kBytes, codes + 2 * i);
  }
  for (; i < bytes; ++i) {
    codes[2 * i] = packed[i] & 0x0f;
    codes[2 * i + 1] = static_cast<std::uint8_t>(packed[i] >> 4);
  }
}

void pack_pairs(const std::uint8_t* codes, std::size_t bytes, std::uint8_t* into) {
  const std::size_t lanes = hn::Lanes(kBytes);
  std::size_t i = 0;
  for (; i + lanes <= bytes; i += lanes) {
    hn::Vec<decltype(kBytes)> a;
    hn::Vec<decltype(kBytes)> b;
    hn::Vec<decltype(kBytes)> c;
    hn::Vec<decltype(kBytes)> d;
    hn::LoadInterleaved4(kBytes, codes + 4 * i, a, b, c, d);
    const auto low = hn::Or(a, hn::ShiftLeft<2>(b));
    const auto high = hn::Or(hn::ShiftLeft<4>(c), hn::ShiftLeft<6>(d));
    hn::StoreU(hn::Or(low, high), kBytes, into + i);
  }
  for (; i < bytes; ++i) {
    const std::uint8_t* four = codes + 4 * i;
    into[i] = static_cast<std::uint8_t>(four[0] | four[1] << 2 | four[2] << 4 | four[3] << 6);
  }
}

void unpack_pairs(const std::uint8_t* packed, std::size_t bytes, std::uint8_t* codes) {
  const std::size_t lanes = hn::Lanes(kBytes);
  const auto low = hn::Set(kBytes, 0x03);
  std::size_t i = 0;
  for (; i + lanes <= bytes; i += lanes) {
    const auto all = hn::LoadU(kBytes, packed + i);
    hn::StoreInterleaved4(hn::And(all, low), hn::And(hn::ShiftRight<2>(all), low), hn::And(hn::ShiftRight<4>(all), low),
                          hn::ShiftRight<6>(all), kBytes, codes + 4 * i);
  }
  for (; i < bytes; ++i)
    for (int place = 0; place < 4; ++place)
      codes[4 * i + place] = static_cast<std::uint8_t>(packed[i] >> 2 * place & 3);
}

}  // namespace q3vl::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace q3vl {
namespace {

HWY_EXPORT(pack_nibbles);
HWY_EXPORT(unpack_nibbles);
HWY_EXPORT(pack_pairs);
HWY_EXPORT(unpack_pairs);

}  // namespace

void pack_codes(std::span<const std::uint8_t> codes, int bits, std::byte* into) {
  if (bits == 8)
    std::ranges::copy(std::as_bytes(codes), into);
  else if (bits == 4)
    HWY_DYNAMIC_DISPATCH(pack_nibbles)(codes.data(), codes.size() / 2, reinterpret_cast<std::uint8_t*>(into));
  else
    HWY_DYNAMIC_DISPATCH(pack_pairs)(codes.data(), codes.size() / 4, reinterpret_cast<std::uint8_t*>(into));
}

void unpack_codes(const std::byte* packed, int bits, std::span<std::uint8_t> codes) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(packed);
  if (bits == 8)
    std::copy_n(bytes, codes.size(), codes.begin());
  else if (bits == 4)
    HWY_DYNAMIC_DISPATCH(unpack_nibbles)(bytes, codes.size() / 2, codes.data());
  else
    HWY_DYNAMIC_DISPATCH(unpack_pairs)(bytes, codes.size() / 4, codes.data());
}

}  // namespace q3vl

#endif  // HWY_ONCE
