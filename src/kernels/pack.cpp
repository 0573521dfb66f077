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

}  // namespace q3vl::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace q3vl {
namespace {

HWY_EXPORT(pack_nibbles);
HWY_EXPORT(unpack_nibbles);

// Two bits are rare: the compiler's own loops do.

void pack_quarters(std::span<const std::uint8_t> codes, std::byte* into) {
  for (std::size_t i = 0; i + 4 <= codes.size(); i += 4)
    *into++ = static_cast<std::byte>(codes[i] | codes[i + 1] << 2 | codes[i + 2] << 4 | codes[i + 3] << 6);
}

void unpack_quarters(const std::uint8_t* packed, std::span<std::uint8_t> codes) {
  for (std::size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<std::uint8_t>(packed[i / 4] >> (i % 4 * 2) & 3);
}

}  // namespace

void pack_codes(std::span<const std::uint8_t> codes, int bits, std::byte* into) {
  if (bits == 8)
    std::ranges::copy(std::as_bytes(codes), into);
  else if (bits == 4)
    HWY_DYNAMIC_DISPATCH(pack_nibbles)(codes.data(), codes.size() / 2, reinterpret_cast<std::uint8_t*>(into));
  else
    pack_quarters(codes, into);
}

void unpack_codes(const std::byte* packed, int bits, std::span<std::uint8_t> codes) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(packed);
  if (bits == 8)
    std::copy_n(bytes, codes.size(), codes.begin());
  else if (bits == 4)
    HWY_DYNAMIC_DISPATCH(unpack_nibbles)(bytes, codes.size() / 2, codes.data());
  else
    unpack_quarters(bytes, codes);
}

}  // namespace q3vl

#endif  // HWY_ONCE
