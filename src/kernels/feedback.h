// GPTQ's two loops: a column's rounding error is made good by the columns behind it. With the best instructions of the
// machine and the same bits on every one.
#pragma once

#include "kernels/block_format.h"

namespace q3vl {

/// Rounds the values of one block of a row, one after the other. `values` begins with the block and goes on to the end
/// of the panel, `width` values in all: each error e of value i takes e · factors[i · stride + j] from every value j
/// behind it. `count` is the number of the block's values that are there, `codes` takes as many codes and `errors` as
/// many errors, value − what its code stands for.
void quantize_block_with_feedback(float* values, std::size_t count, std::size_t width, const float* factors,
                                  std::size_t stride, int last_code, float scale, std::uint8_t zero_point,
                                  std::uint8_t* codes, float* errors);

/// values[r][j] −= Σ_i errors[r][i] · factors[i][j], i in order, for `rows` rows of `columns` values. Rows of values
/// lie `value_stride` apart, of errors and factors `panel` and `factor_stride`.
void spread_errors(float* values, std::size_t value_stride, std::size_t rows, std::size_t columns, const float* errors,
                   std::size_t panel, const float* factors, std::size_t factor_stride);

}  // namespace q3vl
