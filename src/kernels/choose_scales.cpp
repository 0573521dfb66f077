#include "kernels/choose_scales.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/quantize.h"

// Highway compiles what follows once for each instruction set, and the tables at the end choose at run time.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/choose_scales.cpp"  // NOLINT(bugprone-suspicious-include)
#include <hwy/foreach_target.h>                         // IWYU pragma: keep
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace q3vl::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// A lane is a block: each sum runs over a block's values one after the other, so that it is the same with any number of
// lanes. Never MulAdd: it rounds once on some machines and twice on others.
using Lanes = hn::CappedTag<float, 16>;
using Vector = hn::Vec<Lanes>;  // never a member: on some machines its size is not known to the compiler
constexpr Lanes kLanes{};
constexpr std::size_t kMostLanes = 16;

/// As many blocks as there are lanes, side by side: value i of block b at [i · lanes + b]. Values that are missing, and
/// whole blocks, are zeros that count for nothing.
struct Tile {
  HWY_ALIGN float values[kMaxBlockSize * kMostLanes];
  HWY_ALIGN float importance[kMaxBlockSize * kMostLanes];
  std::size_t size;  ///< values of a block
  std::size_t lanes;

  Vector value(std::size_t i) const { return hn::Load(kLanes, values + i * lanes); }
  Vector weight(std::size_t i) const { return hn::Load(kLanes, importance + i * lanes); }
};

/// What is found for the blocks of a tile; one entry a lane.
struct Choice {
  HWY_ALIGN float scales[kMostLanes];
  HWY_ALIGN float zero_points[kMostLanes];

  Vector scale() const { return hn::Load(kLanes, scales); }
  Vector zero_point() const { return hn::Load(kLanes, zero_points); }
  void set(Vector scale, Vector zero_point) {
    hn::Store(scale, kLanes, scales);
    hn::Store(zero_point, kLanes, zero_points);
  }
};

HWY_INLINE Vector last_code(const BlockFormat& format) {
  return hn::Set(kLanes, static_cast<float>(format.last_code()));
}

HWY_INLINE Vector middle_code(const BlockFormat& format) {
  return hn::Set(kLanes, static_cast<float>(format.middle_code()));
}

/// Whether it is too small to divide by: such scales are 0 in float16 too.
HWY_INLINE hn::Mask<Lanes> is_none(Vector x) {
  return hn::Lt(hn::Abs(x), hn::Set(kLanes, std::numeric_limits<float>::min()));
}

/// 1 / x, and 0 where there is nothing to divide by.
HWY_INLINE Vector reciprocal(Vector x) {
  const auto one = hn::Set(kLanes, 1.0F);
  const auto none = is_none(x);
  return hn::IfThenZeroElse(none, hn::Div(one, hn::IfThenElse(none, one, x)));
}

HWY_INLINE Vector clamp(Vector x, Vector least, Vector most) {
  return hn::Min(hn::Max(x, least), most);
}

/// Round to nearest: where every search begins.
HWY_INLINE Choice nearest_choice(const BlockFormat& format, Vector least, Vector most) {
  Choice choice;
  const auto middle = middle_code(format);
  if (format.symmetric) {
    const auto extreme = hn::IfThenElse(hn::Gt(hn::Abs(most), hn::Abs(least)), most, least);
    choice.set(hn::Div(extreme, hn::Neg(middle)), middle);
    return choice;
  }
  const auto last = last_code(format);
  const auto scale = hn::Div(hn::Sub(most, least), last);
  const auto zero_point = clamp(hn::Round(hn::Mul(hn::Neg(least), reciprocal(scale))), hn::Zero(kLanes), last);
  choice.set(scale, hn::IfThenElse(is_none(scale), middle, zero_point));
  return choice;
}

/// Takes the scale that fits the codes of `scale` best where the weighted error is less than with those before it.
HWY_INLINE void try_scale(const Tile& tile, const BlockFormat& format, Vector scale, Vector zero_point,
                          Vector& best_gain, Choice& best) {
  const auto inverse = reciprocal(scale);
  const auto lowest = hn::Neg(zero_point);
  const auto highest = hn::Sub(last_code(format), zero_point);
  auto along = hn::Zero(kLanes);   // Σ wxq
  auto square = hn::Zero(kLanes);  // Σ wq²
  for (std::size_t i = 0; i < tile.size; ++i) {
    const auto value = tile.value(i);
    const auto q = hn::Round(clamp(hn::Mul(value, inverse), lowest, highest));
    const auto wq = hn::Mul(tile.weight(i), q);
    along = hn::Add(along, hn::Mul(wq, value));
    square = hn::Add(square, hn::Mul(wq, q));
  }
  const auto fitted = hn::Mul(along, reciprocal(square));
  const auto gain = hn::Mul(along, fitted);
  const auto better = hn::Gt(gain, best_gain);
  best_gain = hn::IfThenElse(better, gain, best_gain);
  best.set(hn::IfThenElse(better, fitted, best.scale()), hn::IfThenElse(better, zero_point, best.zero_point()));
}

/// The sizes of the grid, as parts of the whole range: few codes do best when they leave the ends out, many reach to
/// them.
constexpr int kGridSizes = 16;
HWY_INLINE float grid_size(int bits, int index) {
  if (bits == 2) return static_cast<float>(12 + index) / 32;
  if (bits == 4) return static_cast<float>(21 + index) / 32;
  return static_cast<float>(248 + index) / 256;
}

HWY_INLINE Choice grid_choice(Tile& tile, const BlockFormat& format, Vector least, Vector most) {
  Choice best = nearest_choice(format, least, most);
  auto best_gain = hn::Zero(kLanes);
  const auto middle = middle_code(format);
  const auto last = last_code(format);
  const auto whole = format.symmetric ? hn::Div(hn::Max(hn::Abs(least), hn::Abs(most)), middle) : best.scale();
  const auto centre = hn::Mul(hn::Add(least, most), hn::Set(kLanes, 0.5F));
  const auto half = hn::Mul(last, hn::Set(kLanes, 0.5F));
  for (int size = 0; size < kGridSizes; ++size) {
    const auto scale = hn::Mul(whole, hn::Set(kLanes, grid_size(format.bits, size)));
    if (format.symmetric) {
      try_scale(tile, format, scale, middle, best_gain, best);
      try_scale(tile, format, hn::Neg(scale), middle, best_gain, best);
    } else {
      const auto place = hn::Sub(half, hn::Mul(centre, reciprocal(scale)));
      try_scale(tile, format, scale, clamp(hn::Round(place), hn::Zero(kLanes), last), best_gain, best);
    }
  }
  return best;
}

/// √(mean x²) + |x|, or x², times the importance that was given.
HWY_INLINE void weigh_for_kquant(Tile& tile, bool symmetric) {
  auto squares = hn::Zero(kLanes);
  for (std::size_t i = 0; i < tile.size; ++i) squares = hn::Add(squares, hn::Mul(tile.value(i), tile.value(i)));
  const auto spread = hn::Sqrt(hn::Div(squares, hn::Set(kLanes, static_cast<float>(tile.size))));
  for (std::size_t i = 0; i < tile.size; ++i) {
    const auto value = tile.value(i);
    const auto weight = symmetric ? hn::Mul(value, value) : hn::Add(spread, hn::Abs(value));
    hn::Store(hn::Mul(tile.weight(i), weight), kLanes, tile.importance + i * tile.lanes);
  }
}

/// The code of a value counted from `least`.
HWY_INLINE Vector code_from(Vector value, Vector least, Vector inverse, Vector last) {
  return hn::Round(clamp(hn::Mul(inverse, hn::Sub(value, least)), hn::Zero(kLanes), last));
}

/// Takes the scale and offset that fit the codes counted from `least` best, where their error is less than with those
/// before them.
HWY_INLINE void try_range(const Tile& tile, Vector last, Vector least, Vector inverse, Vector& best_error,
                          Vector& best_scale, Vector& best_offset) {
  auto w = hn::Zero(kLanes);
  auto wx = hn::Zero(kLanes);
  auto wl = hn::Zero(kLanes);
  auto wll = hn::Zero(kLanes);
  auto wxl = hn::Zero(kLanes);
  for (std::size_t i = 0; i < tile.size; ++i) {
    const auto value = tile.value(i);
    const auto weight = tile.weight(i);
    const auto code = code_from(value, least, inverse, last);
    const auto weighted = hn::Mul(weight, code);
    w = hn::Add(w, weight);
    wx = hn::Add(wx, hn::Mul(weight, value));
    wl = hn::Add(wl, weighted);
    wll = hn::Add(wll, hn::Mul(weighted, code));
    wxl = hn::Add(wxl, hn::Mul(weighted, value));
  }
  const auto determinant = hn::Sub(hn::Mul(w, wll), hn::Mul(wl, wl));
  const auto inverse_determinant = reciprocal(determinant);
  auto scale = hn::Mul(hn::Sub(hn::Mul(w, wxl), hn::Mul(wx, wl)), inverse_determinant);
  auto offset = hn::Mul(hn::Sub(hn::Mul(wll, wx), hn::Mul(wl, wxl)), inverse_determinant);
  const auto above = hn::Gt(offset, hn::Zero(kLanes));  // zero would have no code
  scale = hn::IfThenElse(above, hn::Mul(wxl, reciprocal(wll)), scale);
  offset = hn::IfThenZeroElse(above, offset);
  auto error = hn::Zero(kLanes);
  for (std::size_t i = 0; i < tile.size; ++i) {
    const auto value = tile.value(i);
    const auto code = code_from(value, least, inverse, last);
    const auto difference = hn::Sub(hn::Add(hn::Mul(scale, code), offset), value);
    error = hn::Add(error, hn::Mul(tile.weight(i), hn::Mul(difference, difference)));
  }
  const auto better = hn::And(hn::Gt(determinant, hn::Zero(kLanes)), hn::Lt(error, best_error));
  best_error = hn::IfThenElse(better, error, best_error);
  best_scale = hn::IfThenElse(better, scale, best_scale);
  best_offset = hn::IfThenElse(better, offset, best_offset);
}

HWY_INLINE Choice kquant_choice(Tile& tile, const BlockFormat& format, Vector least, Vector most) {
  Choice best = nearest_choice(format, least, most);
  weigh_for_kquant(tile, format.symmetric);
  const auto last = last_code(format);
  const auto middle = middle_code(format);
  if (format.symmetric) {
    auto best_gain = hn::Zero(kLanes);
    const auto extreme = hn::Mul(best.scale(), middle);
    for (int step = -9; step <= 9; ++step) {
      const auto reach = hn::Add(middle, hn::Set(kLanes, 0.1F * static_cast<float>(step)));
      try_scale(tile, format, hn::Div(extreme, reach), middle, best_gain, best);
    }
    return best;
  }
  constexpr int kSteps = 20;
  auto scale = best.scale();
  auto offset = least;
  auto best_error = hn::Set(kLanes, HUGE_VALF);
  const auto inverse_range = reciprocal(hn::Sub(most, least));
  for (int step = -1; step < kSteps; ++step) {
    const float reach = step < 0 ? 0.0F : 0.1F * static_cast<float>(step) - 1.0F;
    const auto inverse = hn::Mul(hn::Add(last, hn::Set(kLanes, reach)), inverse_range);
    try_range(tile, last, least, inverse, best_error, scale, offset);
  }
  const auto place = clamp(hn::Round(hn::Mul(hn::Neg(offset), reciprocal(scale))), hn::Zero(kLanes), last);
  const auto found = hn::Gt(scale, hn::Zero(kLanes));
  best.set(hn::IfThenElse(found, scale, best.scale()), hn::IfThenElse(found, place, best.zero_point()));
  return best;
}

HWY_INLINE Choice hqq_choice(Tile& tile, const BlockFormat& format, Vector least, Vector most) {
  constexpr int kSteps = 20;
  Choice choice = nearest_choice(format, least, most);
  const auto last = last_code(format);
  const auto scale = choice.scale();
  const auto inverse = reciprocal(scale);
  const auto count = hn::Set(kLanes, static_cast<float>(tile.size));
  auto zero_point = hn::Mul(hn::Neg(least), inverse);
  auto best = zero_point;
  auto best_error = hn::Set(kLanes, HUGE_VALF);
  float beta = 10.0F;
  for (int step = 0; step < kSteps; ++step, beta *= 1.01F) {
    auto error = hn::Zero(kLanes);
    auto sum = hn::Zero(kLanes);
    const auto shrink = hn::Set(kLanes, 1.0F / beta);
    for (std::size_t i = 0; i < tile.size; ++i) {
      const auto value = tile.value(i);
      const auto code = hn::Round(clamp(hn::Add(hn::Mul(value, inverse), zero_point), hn::Zero(kLanes), last));
      const auto residual = hn::Sub(value, hn::Mul(hn::Sub(code, zero_point), scale));
      const auto size = hn::Abs(residual);
      // The part of an error that |error|^p keeps: sign(e) · max(|e| − |e|^(p−1) / beta, 0), with p − 1 = −1/4.
      const auto root = reciprocal(hn::Sqrt(hn::Sqrt(size)));
      const auto kept = hn::CopySign(hn::Max(hn::Sub(size, hn::Mul(shrink, root)), hn::Zero(kLanes)), residual);
      sum = hn::Add(sum, hn::Sub(code, hn::Mul(hn::Sub(value, kept), inverse)));
      error = hn::Add(error, size);
    }
    const auto better = hn::Lt(error, best_error);
    best_error = hn::IfThenElse(better, error, best_error);
    best = hn::IfThenElse(better, zero_point, best);
    zero_point = hn::Div(sum, count);
  }
  choice.set(scale,
             hn::IfThenElse(is_none(scale), middle_code(format), clamp(hn::Round(best), hn::Zero(kLanes), last)));
  return choice;
}

/// Chooses for the blocks of a row, a tile at a time.
template <Choice (*kChoose)(Tile&, const BlockFormat&, Vector, Vector)>
HWY_INLINE void choose_row(std::span<const float> row, Importance importance, const BlockFormat& format,
                           const BlockScales& result) {
  static thread_local Tile tile;
  tile.size = format.size;
  tile.lanes = hn::Lanes(kLanes);
  const std::size_t blocks = format.blocks(row.size());
  for (std::size_t first = 0; first < blocks; first += tile.lanes) {
    for (std::size_t lane = 0; lane < tile.lanes; ++lane) {
      const std::size_t begin = std::min((first + lane) * format.size, row.size());
      const std::size_t count = std::min(format.size, row.size() - begin);
      for (std::size_t i = 0; i < count; ++i) tile.values[i * tile.lanes + lane] = row[begin + i];
      for (std::size_t i = 0; i < count; ++i)
        tile.importance[i * tile.lanes + lane] = importance.empty() ? 1.0F : importance[begin + i];
      for (std::size_t i = count; i < format.size; ++i)
        tile.values[i * tile.lanes + lane] = tile.importance[i * tile.lanes + lane] = 0.0F;
    }
    auto least = tile.value(0);
    auto most = least;
    for (std::size_t i = 1; i < format.size; ++i) {
      least = hn::Min(least, tile.value(i));
      most = hn::Max(most, tile.value(i));
    }
    if (!format.symmetric) {
      least = hn::Min(least, hn::Zero(kLanes));
      most = hn::Max(most, hn::Zero(kLanes));
    }
    const Choice chosen = kChoose(tile, format, least, most);
    for (std::size_t lane = 0; lane < std::min(tile.lanes, blocks - first); ++lane) {
      result.scales[first + lane] = chosen.scales[lane];
      result.zero_points[first + lane] = static_cast<std::uint8_t>(chosen.zero_points[lane]);
    }
  }
}

void choose_grid_row(std::span<const float> row, Importance importance, const BlockFormat& format,
                     const BlockScales& result) {
  choose_row<grid_choice>(row, importance, format, result);
}

void choose_kquant_row(std::span<const float> row, Importance importance, const BlockFormat& format,
                       const BlockScales& result) {
  choose_row<kquant_choice>(row, importance, format, result);
}

void choose_hqq_row(std::span<const float> row, Importance importance, const BlockFormat& format,
                    const BlockScales& result) {
  choose_row<hqq_choice>(row, importance, format, result);
}

}  // namespace q3vl::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE

namespace q3vl {
namespace {

HWY_EXPORT(choose_grid_row);
HWY_EXPORT(choose_kquant_row);
HWY_EXPORT(choose_hqq_row);

}  // namespace

void choose_nearest(std::span<const float> row, Importance, const BlockFormat& format, const BlockScales& blocks) {
  static thread_local std::vector<float> least;
  least.resize(format.blocks(row.size()));
  block_ranges(row, format.size, least.data(), blocks.scales.data());
  const auto last = static_cast<float>(format.last_code());
  for (std::size_t i = 0; i < least.size(); ++i) {
    float& scale = blocks.scales[i];
    const float most = scale;
    if (format.symmetric) {
      const float extreme = std::fabs(most) > std::fabs(least[i]) ? most : least[i];
      scale = extreme / static_cast<float>(-format.middle_code());
      blocks.zero_points[i] = static_cast<std::uint8_t>(format.middle_code());
    } else {
      const float low = std::min(least[i], 0.0F);
      scale = (std::max(most, 0.0F) - low) / last;
      const bool none = scale < std::numeric_limits<float>::min();
      const float place = none ? static_cast<float>(format.middle_code()) : std::nearbyint(-low * (1.0F / scale));
      blocks.zero_points[i] = static_cast<std::uint8_t>(std::clamp(place, 0.0F, last));
    }
  }
}

void choose_grid(std::span<const float> row, Importance importance, const BlockFormat& format,
                 const BlockScales& blocks) {
  HWY_DYNAMIC_DISPATCH(choose_grid_row)(row, importance, format, blocks);
}

void choose_kquant(std::span<const float> row, Importance importance, const BlockFormat& format,
                   const BlockScales& blocks) {
  HWY_DYNAMIC_DISPATCH(choose_kquant_row)(row, importance, format, blocks);
}

void choose_hqq(std::span<const float> row, Importance importance, const BlockFormat& format,
                const BlockScales& blocks) {
  HWY_DYNAMIC_DISPATCH(choose_hqq_row)(row, importance, format, blocks);
}

}  // namespace q3vl

#endif  // HWY_ONCE
