#include "kernels/feedback.h"

#include <algorithm>

// Highway compiles what follows once for each instruction set, and the tables at the end choose at run time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/feedback.cpp"  // NOLINT(bugprone-suspicious-include)
#include <hwy/foreach_target.h>                    // IWYU pragma: keep
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace q3vl::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Never MulAdd: it rounds once on some machines and twice on others.
constexpr hn::ScalableTag<float> kFloats{};

/// values[j] −= error · factors[j]
HWY_INLINE void take(float* values, std::size_t count, float error, const float* factors) {
  const std::size_t lanes = hn::Lanes(kFloats);
  const auto errors = hn::Set(kFloats, error);
  std::size_t j = 0;
  for (; j + lanes <= count; j += lanes)
    hn::StoreU(hn::Sub(hn::LoadU(kFloats, values + j), hn::Mul(errors, hn::LoadU(kFloats, factors + j))), kFloats,
               values + j);
  for (; j < count; ++j) {
    const float part = error * factors[j];
    values[j] -= part;
  }
}

void quantize_block(float* values, std::size_t count, std::size_t width, const float* factors, std::size_t stride,
                    int last_code, float scale, std::uint8_t zero_point, std::uint8_t* codes, float* errors) {
  const float reciprocal = scale == 0.0F ? 0.0F : 1.0F / scale;
  const auto last = static_cast<float>(last_code);
  for (std::size_t i = 0; i < count; ++i) {
    const float place = std::min(std::max(values[i] * reciprocal + static_cast<float>(zero_point), 0.0F), last);
    codes[i] = static_cast<std::uint8_t>(place + 0.5F);
    errors[i] = values[i] - static_cast<float>(codes[i] - zero_point) * scale;
    take(values + i + 1, width - i - 1, errors[i], factors + i * stride + i + 1);
  }
}

/// Four rows at a time, so that each factor that is loaded serves four values.
constexpr std::size_t kRows = 4;

template <std::size_t kCount>
HWY_INLINE void spread_columns(float* values, std::size_t value_stride, std::size_t columns, const float* errors,
                               std::size_t panel, const float* factors, std::size_t factor_stride) {
  const std::size_t lanes = hn::Lanes(kFloats);
  std::size_t j = 0;
  for (; j + lanes <= columns; j += lanes) {
    float* const at = values + j;
    auto a = hn::LoadU(kFloats, at);
    auto b = hn::LoadU(kFloats, at + (kCount > 1 ? value_stride : 0));
    auto c = hn::LoadU(kFloats, at + (kCount > 2 ? 2 * value_stride : 0));
    auto d = hn::LoadU(kFloats, at + (kCount > 3 ? 3 * value_stride : 0));
    for (std::size_t i = 0; i < panel; ++i) {
      const auto factor = hn::LoadU(kFloats, factors + i * factor_stride + j);
      a = hn::Sub(a, hn::Mul(hn::Set(kFloats, errors[i]), factor));
      if (kCount > 1) b = hn::Sub(b, hn::Mul(hn::Set(kFloats, errors[panel + i]), factor));
      if (kCount > 2) c = hn::Sub(c, hn::Mul(hn::Set(kFloats, errors[2 * panel + i]), factor));
      if (kCount > 3) d = hn::Sub(d, hn::Mul(hn::Set(kFloats, errors[3 * panel + i]), factor));
    }
    hn::StoreU(a, kFloats, at);
    if (kCount > 1) hn::StoreU(b, kFloats, at + value_stride);
    if (kCount > 2) hn::StoreU(c, kFloats, at + 2 * value_stride);
    if (kCount > 3) hn::StoreU(d, kFloats, at + 3 * value_stride);
  }
  for (; j < columns; ++j) {
    for (std::size_t row = 0; row < kCount; ++row) {
      float& value = values[row * value_stride + j];
      for (std::size_t i = 0; i < panel; ++i) {
        const float part = errors[row * panel + i] * factors[i * factor_stride + j];
        value -= part;
      }
    }
  }
}

void spread(float* values, std::size_t value_stride, std::size_t rows, std::size_t columns, const float* errors,
            std::size_t panel, const float* factors, std::size_t factor_stride) {
  // So many columns that their factors stay in the second cache while all rows pass.
  constexpr std::size_t kColumns = 256;
  for (std::size_t j = 0; j < columns; j += kColumns) {
    const std::size_t count = std::min(kColumns, columns - j);
    std::size_t row = 0;
    for (; row + kRows <= rows; row += kRows)
      spread_columns<kRows>(values + row * value_stride + j, value_stride, count, errors + row * panel, panel,
                            factors + j, factor_stride);
    for (; row < rows; ++row)
      spread_columns<1>(values + row * value_stride + j, value_stride, count, errors + row * panel, panel, factors + j,
                        factor_stride);
  }
}

}  // namespace q3vl::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace q3vl {
namespace {

HWY_EXPORT(quantize_block);
HWY_EXPORT(spread);

}  // namespace

void quantize_block_with_feedback(float* values, std::size_t count, std::size_t width, const float* factors,
                                  std::size_t stride, int last_code, float scale, std::uint8_t zero_point,
                                  std::uint8_t* codes, float* errors) {
  HWY_DYNAMIC_DISPATCH(quantize_block)
  (values, count, width, factors, stride, last_code, scale, zero_point, codes, errors);
}

void spread_errors(float* values, std::size_t value_stride, std::size_t rows, std::size_t columns, const float* errors,
                   std::size_t panel, const float* factors, std::size_t factor_stride) {
  HWY_DYNAMIC_DISPATCH(spread)
  (values, value_stride, rows, columns, errors, panel, factors, factor_stride);
}

}  // namespace q3vl

#endif  // HWY_ONCE
