// Element types into each other, with the best instructions of the machine and the same bits on every one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/data_type.h"

namespace q3vl {

/// The number of values that are NaN or infinite. `type` is a weight type (is_weight_type()), as below.
std::int64_t count_nonfinite(DataType type, std::span<const std::byte> stored);

/// Puts 0 in the place of each NaN and infinity. For the rare row that has one: plain code.
void zero_nonfinite(std::span<float> values);

/// Widens values exactly to float32; a NaN keeps its bits. `into` takes stored.size() / size_of(type) values.
void widen_to_float32(DataType type, std::span<const std::byte> stored, float* into);

/// Rounds to nearest even; what is beyond ±65504 after rounding becomes infinity. `into` takes values.size() float16s.
/// Returns the number of finite values that became infinite.
std::int64_t round_to_float16(std::span<const float> values, std::byte* into);

}  // namespace q3vl
