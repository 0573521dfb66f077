// Choosing the scale and the zero point of every block of a row: the heart of each quantiser, with the best
// instructions of the machine and the same bits on every one.
//
// A row is finite; its last block may be short. An importance, one a column, says how much a squared error there
// counts; none means 1 everywhere. Zero always has a code. A block whose scale would be no normal float32 gets the
// middle code as its zero point; float16 makes its scale 0. The scale of a symmetric block may be negative: its codes
// reach one further below zero than above.
#pragma once

#include "kernels/block_format.h"

namespace q3vl {

using Importance = std::span<const float>;

/// Round to nearest. Symmetric, by the rule of ONNX Runtime's own block quantiser: the value of the largest magnitude,
/// with its sign (the negative one of two), becomes code 0: scale = value / −2^(bits−1). Asymmetric: the range from the
/// least to the largest value, with zero in it, is divided evenly. An importance changes nothing.
/// https://github.com/microsoft/onnxruntime/blob/main/onnxruntime/core/mlas/lib/q4_dq.cpp
void choose_nearest(std::span<const float> row, Importance importance, const BlockFormat& format,
                    const BlockScales& blocks);

/// The least weighted squared error over a grid of 16 sizes of the range (symmetric: of either sign), each with the
/// zero point that centres it and then the scale that fits its codes best: for codes q around the zero point, the scale
/// Σ wxq / Σ wq² leaves the error Σ wx² − (Σ wxq)² / Σ wq².
void choose_grid(std::span<const float> row, Importance importance, const BlockFormat& format,
                 const BlockScales& blocks);

/// The k-quant search of ggml, as ONNX Runtime's and Neural Compressor's k_quant have it: errors count by
/// √(mean x²) + |x|; 20 scales around the evenly divided range, each followed by the scale and offset that fit its
/// codes best; the offset of the best one is then rounded to a zero point. Symmetric: errors count by x², and 19 scales
/// around the largest magnitude are tried. https://github.com/ggml-org/ggml/blob/master/src/ggml-quants.c
void choose_kquant(std::span<const float> row, Importance importance, const BlockFormat& format,
                   const BlockScales& blocks);

/// Half-quadratic quantisation: the scale divides the range evenly, and 20 steps move the zero point towards the least
/// sum of |error|^p, which outliers weigh less in; it is rounded at the end. p is 3/4 where the paper takes 0.7, since
/// roots are the same on every machine and powers are not. Asymmetric blocks alone; an importance changes nothing.
/// https://mobiusml.github.io/hqq_blog/
void choose_hqq(std::span<const float> row, Importance importance, const BlockFormat& format,
                const BlockScales& blocks);

}  // namespace q3vl
