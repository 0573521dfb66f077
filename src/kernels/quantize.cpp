#include "kernels/quantize.h"

#include <algorithm>
#include <cmath>
#include <limits>

// Highway compiles what follows once for each instruction set, and the tables at the end choose at run time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/quantize.cpp"  // NOLINT(bugprone-suspicious-include)
#include <hwy/foreach_target.h>                    // IWYU pragma: keep
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace q3vl::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// No more lanes than the shortest block has values, so that every block is whole vectors.
constexpr hn::CappedTag<float, kMinBlockSize> kFloats{};
constexpr hn::RebindToSigned<decltype(kFloats)> kIntegers{};
constexpr hn::RebindToUnsigned<decltype(kFloats)> kWords{};
constexpr hn::Rebind<std::uint8_t, decltype(kFloats)> kCodes{};

/// The scale of a block. Least and largest are exact in any order, so that lanes may be reduced as the machine likes.
template <std::size_t kBlock>
HWY_INLINE float scale_of(const float* values, float per_code) {
  const std::size_t lanes = hn::Lanes(kFloats);
  auto least = hn::LoadU(kFloats, values);
  auto most = least;
  for (std::size_t i = lanes; i < kBlock; i += lanes) {
    const auto value = hn::LoadU(kFloats, values + i);
    least = hn::Min(least, value);
    most = hn::Max(most, value);
  }
  least = hn::MinOfLanes(kFloats, least);
  most = hn::MaxOfLanes(kFloats, most);
  const auto extreme = hn::IfThenElse(hn::Gt(hn::Abs(most), hn::Abs(least)), most, least);
  const float scale = hn::GetLane(extreme) * per_code;
  return std::fabs(scale) < std::numeric_limits<float>::min() ? 0.0F : scale;
}

/// The codes of a block. No value is further from zero than the one that made the scale, so that none falls below code
/// 0 by more than rounding, which the truncation removes.
template <std::size_t kBlock>
HWY_INLINE void codes_of(const float* values, float scale, int bits, std::uint8_t* codes) {
  const auto reciprocal = hn::Set(kFloats, scale == 0.0F ? 0.0F : 1.0F / scale);
  const auto zero_point = hn::Set(kFloats, static_cast<float>(1 << (bits - 1)));
  const auto last = hn::Set(kFloats, static_cast<float>((1 << bits) - 1));
  // Truncating x + 0.5 rounds halves up where that sum is exact, as it is here: a place below 1 is a multiple of 2^-23,
  // the unit of the product that the zero point was added to.
  const auto half = hn::Set(kFloats, 0.5F);
  const auto byte_unit = hn::Set(kFloats, 0x1p23F);  // added to a whole number, it leaves that in the lowest byte
  const std::size_t lanes = hn::Lanes(kFloats);
  for (std::size_t i = 0; i < kBlock; i += lanes) {
    // Not MulAdd: it rounds once on some machines and twice on others.
    const auto place = hn::Add(hn::Mul(hn::LoadU(kFloats, values + i), reciprocal), zero_point);
    const auto code = hn::Trunc(hn::Add(hn::Min(place, last), half));
    hn::StoreU(hn::TruncateTo(kCodes, hn::BitCast(kWords, hn::Add(code, byte_unit))), kCodes, codes + i);
  }
}

template <std::size_t kBlock>
void quantize_blocks(const float* values, std::size_t blocks, int bits, std::uint8_t* codes, float* scales) {
  const float per_code = -1.0F / static_cast<float>(1 << (bits - 1));
  // Two loops, since a scale is a long chain of steps: those of several blocks then overlap.
  for (std::size_t block = 0; block < blocks; ++block)
    scales[block] = scale_of<kBlock>(values + block * kBlock, per_code);
  for (std::size_t block = 0; block < blocks; ++block)
    codes_of<kBlock>(values + block * kBlock, scales[block], bits, codes + block * kBlock);
}

template <std::size_t kBlock>
void quantize_row(const float* row, std::size_t columns, int bits, std::uint8_t* codes, float* scales) {
  const std::size_t blocks = columns / kBlock;
  quantize_blocks<kBlock>(row, blocks, bits, codes, scales);
  const std::size_t whole = blocks * kBlock;
  if (whole == columns) return;
  // The short block is filled with one of its own values, which changes neither its least nor its largest.
  HWY_ALIGN float padded[kBlock];
  std::fill_n(padded, kBlock, row[whole]);
  std::copy(row + whole, row + columns, padded);
  quantize_blocks<kBlock>(padded, 1, bits, codes + whole, scales + blocks);
  std::fill(codes + columns, codes + whole + kBlock, static_cast<std::uint8_t>(1 << (bits - 1)));
}

/// The size of a block is known to the compiler, which halves the time.
void quantize_row_in_blocks(const float* row, std::size_t columns, std::size_t block_size, int bits,
                            std::uint8_t* codes, float* scales) {
  switch (block_size) {
    case 16:
      return quantize_row<16>(row, columns, bits, codes, scales);
    case 32:
      return quantize_row<32>(row, columns, bits, codes, scales);
    case 64:
      return quantize_row<64>(row, columns, bits, codes, scales);
    case 128:
      return quantize_row<128>(row, columns, bits, codes, scales);
    default:
      return quantize_row<kMaxBlockSize>(row, columns, bits, codes, scales);
  }
}

void dequantize_row(const std::uint8_t* codes, const float* scales, std::size_t block_size, int bits, float* row,
                    std::size_t columns) {
  const std::size_t lanes = hn::Lanes(kFloats);
  const auto middle = hn::Set(kIntegers, 1 << (bits - 1));
  HWY_ALIGN float padded[kMaxBlockSize];
  for (std::size_t begin = 0; begin < columns; begin += block_size) {
    const auto scale = hn::Set(kFloats, *scales++);
    float* into = columns - begin < block_size ? padded : row + begin;
    for (std::size_t i = 0; i < block_size; i += lanes) {
      const auto code = hn::PromoteTo(kIntegers, hn::LoadU(kCodes, codes + begin + i));
      hn::StoreU(hn::Mul(hn::ConvertTo(kFloats, hn::Sub(code, middle)), scale), kFloats, into + i);
    }
    if (into == padded) std::copy(padded, padded + (columns - begin), row + begin);
  }
}

}  // namespace q3vl::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace q3vl {
namespace {

HWY_EXPORT(quantize_row_in_blocks);
HWY_EXPORT(dequantize_row);

}  // namespace

void quantize_symmetric(std::span<const float> row, std::size_t block_size, int bits, std::uint8_t* codes,
                        float* scales) {
  HWY_DYNAMIC_DISPATCH(quantize_row_in_blocks)(row.data(), row.size(), block_size, bits, codes, scales);
}

void dequantize_symmetric(const std::uint8_t* codes, const float* scales, std::size_t block_size, int bits,
                          std::span<float> row) {
  HWY_DYNAMIC_DISPATCH(dequantize_row)(codes, scales, block_size, bits, row.data(), row.size());
}

}  // namespace q3vl

#endif  // HWY_ONCE
