#include "ops/embedding_lookup.h"

#include "ops/cast.h"
#include "ops/shape.h"
#include "ops/weight.h"

namespace q3vl {
namespace {

/// Codes of `bits` out of bytes, low bits first: uint8 [batch, sequence, n] → [batch, sequence, n · 8 / bits, 1].
Value unpack(Graph& g, const Scope& s, const Value& bytes, int bits, std::int64_t n) {
  Value codes = unsqueeze(g, s, bytes, 3);
  if (bits == 8) return codes;
  const std::int64_t per_byte = 8 / bits;
  std::vector<Value> places;  // [batch, sequence, n, 1] each, then side by side
  for (std::int64_t i = 0; i < per_byte; ++i) {
    const Value shift = g.byte_scalar(static_cast<std::uint8_t>(i * bits));
    places.push_back(g.emit(s, "BitShift", {codes, shift}, DataType::uint8, Attributes().set("direction", "RIGHT")));
  }
  codes = remainder(g, s, concat(g, s, places, 3), g.byte_scalar(static_cast<std::uint8_t>(1 << bits)));
  return reshape(g, s, codes, {0, 0, n * per_byte, 1});
}

/// The rows of a table in blocks by one operator, with the padding of the last block: [batch, sequence, blocks ·
/// block_size].
Value gather_block_quantized(const Builder& b, const Scope& s, const Encoding& encoding, std::vector<Value> parts,
                             const Value& input_ids) {
  parts.insert(parts.begin() + 1, input_ids);
  return b.graph.emit(s, "GatherBlockQuantized", parts, b.target.compute_type,
                      Attributes()
                          .set("bits", encoding.bits)
                          .set("block_size", encoding.block_size)
                          .set("gather_axis", 0)
                          .set("quantize_axis", 1),
                      kMicrosoft);
}

/// The same, to the bit, by operators of ai.onnx: (code − zero point) · scale is exact. Only the rows found are
/// unpacked. Scales come here in the compute type, cast when the graph is loaded: not every GPU can gather rows of
/// float16.
Value gather_and_dequantize(const Builder& b, const Scope& s, const WeightRequest& request,
                            const std::vector<Value>& parts, const Value& input_ids) {
  Graph& g = b.graph;
  const Encoding& encoding = request.encoding;
  const DataType type = b.target.compute_type;
  const std::int64_t blocks = request.parts[1].shape[1];
  const auto bytes_of = [&](std::size_t part) { return static_cast<std::int64_t>(request.parts[part].row_bytes); };

  Value codes = unpack(g, s / "codes", gather(g, s / "codes", parts[0], input_ids), encoding.bits, bytes_of(0));
  codes = cast(g, s / "codes", reshape(g, s / "codes", codes, {0, 0, blocks, encoding.block_size}), type);
  const auto zero_points = [&, zeros = s / "zero_points"] {
    if (encoding.symmetric) return g.byte_scalar(static_cast<std::uint8_t>(1 << (encoding.bits - 1)));
    const Value found = unpack(g, zeros, gather(g, zeros, parts[2], input_ids), encoding.bits, bytes_of(2));
    if (bytes_of(2) * 8 == blocks * encoding.bits) return found;
    return slice(g, zeros, found, g.integers({0}), g.integers({blocks}), 2);  // the last byte had room for more blocks
  };
  const Value differences = subtract(g, s, codes, cast(g, s / "zero_points", zero_points(), type));
  const Value scales = unsqueeze(g, s / "scales", gather(g, s / "scales", parts[1], input_ids), 3);
  return reshape(g, s, multiply(g, s, differences, scales), {0, 0, blocks * encoding.block_size});
}

}  // namespace

Value embedding_lookup(const Builder& b, const Scope& s, const Scope& weight, const Value& input_ids, std::int64_t rows,
                       std::int64_t width) {
  Graph& g = b.graph;
  const WeightRequest& request = b.weights.request(weight.path(), {rows, width}, Role::embedding);
  if (!request.encoding.quantized()) {
    const Value found = gather(g, s, weight_part(b, request, 0, {rows, width}), input_ids);
    return as_type(g, s, found, b.target.compute_type);
  }
  // The very bytes that a MatMulNBits of the same matrix reads: a tied lm_head costs nothing twice.
  const auto row_bytes = static_cast<std::int64_t>(request.parts[0].row_bytes);
  const std::vector<Value> parts = quantized_parts(b, weight, request, {rows, row_bytes}, ".rows");
  const Value found = b.target.has_gather_block_quantized
                          ? gather_block_quantized(b, s, request.encoding, parts, input_ids)
                          : gather_and_dequantize(b, s, request, parts, input_ids);
  if (width % request.encoding.block_size == 0) return found;
  return slice(g, s, found, g.integers({0}), g.integers({width}), 2);  // without the padding of the last block
}

}  // namespace q3vl
