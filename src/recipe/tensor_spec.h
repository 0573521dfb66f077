// How the weights of a component, or of some tensors, are stored: the precision, and how it is reached.
#pragma once

#include <string>

#include "base/json.h"
#include "quant/encoding.h"

namespace q3vl {

/// fp32 keeps the checkpoint's own bits (bf16, fp16 or fp32) and widens them when the graph is loaded; fp16 rounds
/// them; int8, int4 and int2 quantise them in blocks. Arithmetic is the target's in all of these. w8a8 quantises
/// weights to int8 by rows and multiplies them, as integers, by activations that it quantises to int8 while the graph
/// runs.
enum class Precision { fp32, fp16, int8, int4, int2, w8a8 };

struct TensorSpec {
  Precision precision = Precision::fp32;
  int block_size = 0;          ///< 0 unless quantised in blocks, as below
  std::string quantizer = {};  ///< a name that quantizer() knows
  bool symmetric = false;

  bool in_blocks() const {
    return precision == Precision::int8 || precision == Precision::int4 || precision == Precision::int2;
  }
  Encoding encoding() const;
  bool operator==(const TensorSpec&) const = default;
};

/// What `precision` is without further words: int4 and int2 are asymmetric, by grid, in blocks of 32; int8 is
/// symmetric, by rtn, in blocks of 128, at which a search has nothing left to find.
TensorSpec default_spec(Precision precision);

/// "int4", "fp16".
std::string_view name_of(Precision precision);

/// PRECISION[-blockN][-QUANTIZER][-sym|-asym], in that order: "int4", "int4-block64-grid-asym", "fp16". What is left
/// out is as in default_spec(). Throws Error(usage).
TensorSpec parse_spec(const std::string& what, const std::string& text);

/// All words of it, as parse_spec() takes them.
std::string to_string(const TensorSpec& spec);

/// Keys of a recipe file: precision, and for those in blocks block_size, quantizer and symmetric. Others are left
/// alone.
TensorSpec parse_spec(const JsonObject& object, const std::string& what);
OrderedJson to_json(const TensorSpec& spec);

/// Throws Error(usage) for what ONNX Runtime does not take or a quantiser cannot do.
void check_spec(const TensorSpec& spec);

}  // namespace q3vl
