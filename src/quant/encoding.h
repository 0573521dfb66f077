// How a weight lies in a package: as stored, converted, or quantised in blocks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/data_type.h"
#include "base/shape.h"
#include "kernels/block_format.h"

namespace q3vl {

struct Encoding {
  enum class Format {
    stored,           ///< the checkpoint's own bytes
    float32,          ///< widened, exactly
    float16,          ///< rounded to nearest even
    block_quantized,  ///< unsigned integers of `bits`, a float16 scale for each `block_size` of them along a row
    w8a8,             ///< int8 with a float32 scale a row, to be multiplied by activations that are int8 as well
    row_norms,        ///< of each row only its length, the columns multiplied by a norm's gains first: float32
  };
  Format format = Format::stored;
  int bits = 0;                ///< 2, 4 or 8
  int block_size = 0;          ///< 16, 32, 64, 128 or 256: what ONNX Runtime's MatMulNBits takes
  bool symmetric = false;      ///< without zero points: the middle code stands for 0 in every block
  std::string quantizer = {};  ///< how scales and zero points are chosen: a name that quantizer() knows

  bool quantized() const { return in_blocks() || format == Format::w8a8; }
  bool in_blocks() const { return format == Format::block_quantized; }
  /// Whether it holds the weight's values, so that a weight can be had back from it.
  bool holds_values() const { return format != Format::row_norms; }
  /// Whether its bytes depend on what is known of the values that the columns are multiplied by.
  bool looks_at_inputs() const { return quantized() || format == Format::row_norms; }
  BlockFormat blocks() const { return {static_cast<std::size_t>(block_size), bits, symmetric}; }
  bool operator==(const Encoding&) const = default;
};

/// "stored", "float32", "float16", "w8a8", "row_norms" or such as "int4-block32-grid-asym".
std::string to_string(const Encoding& encoding);

/// One array of an encoded weight, for a matrix of `rows` rows. Rows lie one after another, so any range of rows can be
/// written on its own.
struct EncodedPart {
  std::string suffix;  ///< after the weight's name: "", "int4", "scales", "zero_points", "row_norms"
  DataType type;
  Shape shape;  ///< [rows, …]
  std::uint64_t row_bytes;
};

/// The arrays that a [rows, columns] matrix of type `stored` becomes.
///
/// Block-quantised: the data [rows, blocks, block_size · bits / 8] uint8, low bits first, the last block of a row
/// filled with its zero point; then the scales [rows, blocks] float16; unless symmetric, then the zero points [rows,
/// ceil(blocks · bits / 8)] uint8, low bits first. float16 holds a scale's 11 bits, so that (code − zero_point) · scale
/// is exact in float32 in whatever order a kernel computes it. Layout: ONNX Runtime's MatMulNBits, inputs B, scales and
/// zero_points,
/// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.MatMulNBits
///
/// w8a8: the data [rows, columns] int8, the scales [rows] float32, and zero points [rows] int8, all 0. Layout: ONNX
/// Runtime's QGemm, inputs B, b_scale and b_zero_point with transB = 1.
///
/// row_norms: one float32 a row, [rows].
std::vector<EncodedPart> encoded_parts(const Encoding& encoding, DataType stored, std::int64_t rows,
                                       std::int64_t columns);

/// ceil(columns / block_size).
std::int64_t blocks_per_row(const Encoding& encoding, std::int64_t columns);

}  // namespace q3vl
