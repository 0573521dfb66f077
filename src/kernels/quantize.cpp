#include "kernels/quantize.h"

#include <algorithm>

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

/// Least and largest are exact in any order, so that lanes may be reduced as the machine likes.
template <std::size_t kBlock>
HWY_INLINE void range_of(const float* values, float* least_of, float* most_of) {
  const std::size_t lanes = hn::Lanes(kFloats);
  auto least = hn::LoadU(kFloats, values);
  auto most = least;
  for (std::size_t i = lanes; i < kBlock; i += lanes) {
    const auto value = hn::LoadU(kFloats, values + i);
    least = hn::Min(least, value);
    most = hn::Max(most, value);
  }
  *least_of = hn::GetLane(hn::MinOfLanes(kFloats, least));
  *most_of = hn::GetLane(hn::MaxOfLanes(kFloats, most));
}

template <std::size_t kBlock>
void ranges_of(const float* row, std::size_t columns, float* least, float* most) {
  const std::size_t blocks = columns / kBlock;
  for (std::size_t block = 0; block < blocks; ++block)
    range_of<kBlock>(row + block * kBlock, least + block, most + block);
  const std::size_t whole = blocks * kBlock;
  if (whole == columns) return;
  // The short block is filled with one of its own values, which changes neither its least nor its largest.
  HWY_ALIGN float padded[kBlock];
  std::fill_n(padded, kBlock, row[whole]);
  std::copy(row + whole, row + columns, padded);
  range_of<kBlock>(padded, least + blocks, most + blocks);
}

template <std::size_t kBlock>
HWY_INLINE void codes_of(const float* values, float scale, std::uint8_t zero_point, float last_code,
                         std::uint8_t* codes) {
  const auto reciprocal = hn::Set(kFloats, scale == 0.0F ? 0.0F : 1.0F / scale);
  const auto zero = hn::Set(kFloats, static_cast<float>(zero_point));
  const auto last = hn::Set(kFloats, last_code);
  const auto half = hn::Set(kFloats, 0.5F);
  const auto byte_unit = hn::Set(kFloats, 0x1p23F);  // added to a whole number, it leaves that in the lowest byte
  const std::size_t lanes = hn::Lanes(kFloats);
  for (std::size_t i = 0; i < kBlock; i += lanes) {
    // Not MulAdd: it rounds once on some machines and twice on others.
    const auto place = hn::Add(hn::Mul(hn::LoadU(kFloats, values + i), reciprocal), zero);
    const auto code = hn::Trunc(hn::Add(hn::Min(hn::Max(place, hn::Zero(kFloats)), last), half));
    hn::StoreU(hn::TruncateTo(kCodes, hn::BitCast(kWords, hn::Add(code, byte_unit))), kCodes, codes + i);
  }
}

template <std::size_t kBlock>
void codes_of_row(const float* row, std::size_t columns, float last_code, const float* scales,
                  const std::uint8_t* zero_points, std::uint8_t* codes) {
  const std::size_t blocks = columns / kBlock;
  for (std::size_t block = 0; block < blocks; ++block)
    codes_of<kBlock>(row + block * kBlock, scales[block], zero_points[block], last_code, codes + block * kBlock);
  const std::size_t whole = blocks * kBlock;
  if (whole == columns) return;
  HWY_ALIGN float padded[kBlock] = {};
  std::copy(row + whole, row + columns, padded);
  codes_of<kBlock>(padded, scales[blocks], zero_points[blocks], last_code, codes + whole);
}

/// Calls `work` with the size of a block as a constant, which halves the time.
template <class Work>
void with_block_size(std::size_t block_size, const Work& work) {
  switch (block_size) {
    case 16:
      return work(std::integral_constant<std::size_t, 16>());
    case 32:
      return work(std::integral_constant<std::size_t, 32>());
    case 64:
      return work(std::integral_constant<std::size_t, 64>());
    case 128:
      return work(std::integral_constant<std::size_t, 128>());
    default:
      return work(std::integral_constant<std::size_t, 256>());
  }
}

void block_ranges_of_row(const float* row, std::size_t columns, std::size_t block_size, float* least, float* most) {
  with_block_size(block_size, [&](auto size) { ranges_of<size()>(row, columns, least, most); });
}

void assign_codes_of_row(const float* row, std::size_t columns, std::size_t block_size, float last_code,
                         const float* scales, const std::uint8_t* zero_points, std::uint8_t* codes) {
  with_block_size(block_size,
                  [&](auto size) { codes_of_row<size()>(row, columns, last_code, scales, zero_points, codes); });
}

void dequantize_row(const std::uint8_t* codes, std::size_t block_size, const float* scales,
                    const std::uint8_t* zero_points, float* row, std::size_t columns) {
  const std::size_t lanes = hn::Lanes(kFloats);
  HWY_ALIGN float padded[kMaxBlockSize];
  for (std::size_t begin = 0; begin < columns; begin += block_size) {
    const auto scale = hn::Set(kFloats, *scales++);
    const auto zero_point = hn::Set(kIntegers, std::int32_t{*zero_points++});
    float* into = columns - begin < block_size ? padded : row + begin;
    for (std::size_t i = 0; i < block_size; i += lanes) {
      const auto code = hn::PromoteTo(kIntegers, hn::LoadU(kCodes, codes + begin + i));
      hn::StoreU(hn::Mul(hn::ConvertTo(kFloats, hn::Sub(code, zero_point)), scale), kFloats, into + i);
    }
    if (into == padded) std::copy(padded, padded + (columns - begin), row + begin);
  }
}

}  // namespace q3vl::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace q3vl {
namespace {

HWY_EXPORT(block_ranges_of_row);
HWY_EXPORT(assign_codes_of_row);
HWY_EXPORT(dequantize_row);

}  // namespace

void block_ranges(std::span<const float> row, std::size_t block_size, float* least, float* most) {
  HWY_DYNAMIC_DISPATCH(block_ranges_of_row)(row.data(), row.size(), block_size, least, most);
}

void assign_codes(std::span<const float> row, const BlockFormat& format, const BlockScales& blocks,
                  std::uint8_t* codes) {
  HWY_DYNAMIC_DISPATCH(assign_codes_of_row)
  (row.data(), row.size(), format.size, static_cast<float>(format.last_code()), blocks.scales.data(),
   blocks.zero_points.data(), codes);
}

void dequantize(const std::uint8_t* codes, const BlockFormat& format, const BlockScales& blocks, std::span<float> row) {
  HWY_DYNAMIC_DISPATCH(dequantize_row)
  (codes, format.size, blocks.scales.data(), blocks.zero_points.data(), row.data(), row.size());
}

}  // namespace q3vl

#endif  // HWY_ONCE
