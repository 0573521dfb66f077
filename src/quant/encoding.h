// How a weight lies in a package: as stored, converted, or quantised in blocks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/data_type.h"
#include "base/shape.h"

namespace q3vl {

struct Encoding {
  enum class Format {
    stored,           ///< the checkpoint's own bytes
    float32,          ///< widened, exactly
    float16,          ///< rounded to nearest even
    block_quantized,  ///< unsigned integers of `bits`, one float32 scale a block of `block_size` along a row
  };
  Format format = Format::stored;
  int bits = 0;           ///< 4 or 8
  int block_size = 0;     ///< 16, 32, 64, 128 or 256: what ONNX Runtime's MatMulNBits takes
  std::string quantizer;  ///< how scales are chosen: "rtn"

  bool quantized() const { return format == Format::block_quantized; }
  bool operator==(const Encoding&) const = default;
};

/// "stored", "float32", "float16" or such as "int4-block32-rtn".
std::string to_string(const Encoding& encoding);

/// One array of an encoded weight, for a matrix of `rows` rows. Rows lie one after another, so any range of rows can be
/// written on its own.
struct EncodedPart {
  std::string suffix;  ///< after the weight's name: "", "int4", "scales"
  DataType type;
  Shape shape;  ///< [rows, …]
  std::uint64_t row_bytes;
};

/// The arrays that a [rows, columns] matrix of type `stored` becomes.
///
/// Block-quantised: the data [rows, blocks, block_size · bits / 8] uint8, low bits first, the last block of a row
/// filled with the zero point 2^(bits-1); then the scales [rows, blocks] float32. Layout: ONNX Runtime's MatMulNBits,
/// inputs B and scales,
/// https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.MatMulNBits
std::vector<EncodedPart> encoded_parts(const Encoding& encoding, DataType stored, std::int64_t rows,
                                       std::int64_t columns);

/// ceil(columns / block_size).
std::int64_t blocks_per_row(const Encoding& encoding, std::int64_t columns);

}  // namespace q3vl
