#include "qwen3vl/text/mrope.h"

#include "ops/cast.h"
#include "ops/shape.h"

namespace q3vl {
namespace {

/// Angles [batch, sequence, head_dim / 2] in float32 → the table, one row a token.
RotaryTable table_of(Graph& g, const Scope& s, const TextConfig& cfg, const Value& positions, DataType type) {
  const std::int64_t half = cfg.head_dim / 2;
  const Value frequencies = g.floats(s.path() + ".inv_freq", {half},
                                     inverse_frequencies(cfg.rope_theta, half, cfg.head_dim), DataType::float32);
  const Value angles = multiply(g, s, cast(g, s, positions, DataType::float32), frequencies);
  const auto rows = [&](std::string_view function) {
    const Value table = reshape(g, s, g.emit(s, function, {angles}, DataType::float32),
                                {-1, half});  // [batch · sequence, head_dim / 2]
    return as_type(g, s, table, type);
  };
  return {rows("Cos"), rows("Sin"), {}};
}

/// Token (b, s) of a batch finds its row at b · sequence + s. `tokens` is any [batch, sequence] value.
Value row_ids(Graph& g, const Scope& s, const Value& batch_and_sequence) {
  const Value count = g.emit(s, "ReduceProd", {batch_and_sequence}, DataType::int64, Attributes().set("keepdims", 0));
  return reshape(g, s, range(g, s, count), batch_and_sequence);
}

}  // namespace

std::vector<std::int64_t> axis_of_frequency(const TextConfig& cfg) {
  std::vector<std::int64_t> axes(static_cast<std::size_t>(cfg.head_dim / 2), 0);
  for (std::size_t axis = 1; axis < cfg.mrope_section.size(); ++axis)
    for (std::size_t i = axis; i < static_cast<std::size_t>(3 * cfg.mrope_section[axis]); i += 3)
      axes.at(i) = static_cast<std::int64_t>(axis);
  return axes;
}

RotaryTable mrope_table(Graph& g, const Scope& s, const TextConfig& cfg, const Value& position_ids,
                        const Value& attention_mask, DataType type) {
  const Value total = dimension(g, s / "total", attention_mask, 1);
  const Value shape = g.emit(s / "shape", "Shape", {position_ids}, DataType::int64);  // 3, batch, sequence
  const Value first = subtract(g, s, total, gather(g, s / "shape", shape, g.scalar(2)));
  const Value clamped = minimum(g, s, position_ids, range(g, s, first, total));
  const Value chosen = gather(g, s, clamped, g.integers(axis_of_frequency(cfg)), 0);  // [head_dim / 2, batch, sequence]
  const Value last = g.emit(s, "Transpose", {chosen}, DataType::int64, Attributes().set("perm", {1, 2, 0}));
  RotaryTable table = table_of(g, s, cfg, last, type);
  table.row_ids = row_ids(g, s / "row_ids", slice(g, s / "shape", shape, g.integers({1}), g.integers({3}), 0));
  return table;
}

RotaryTable rope_table(Graph& g, const Scope& s, const TextConfig& cfg, const Value& position_ids, DataType type) {
  RotaryTable table = table_of(g, s, cfg, unsqueeze(g, s, position_ids, 2), type);
  table.row_ids = row_ids(g, s / "row_ids", g.emit(s / "shape", "Shape", {position_ids}, DataType::int64));
  return table;
}

}  // namespace q3vl
