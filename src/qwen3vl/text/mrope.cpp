#include "qwen3vl/text/mrope.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "ops/cast.h"
#include "ops/shape.h"

namespace q3vl {
namespace {

/// Where YaRN's ramp begins or ends: the index of the frequency that turns `rotations` times in the original context.
double ramp_end(const TextConfig& cfg, double rotations) {
  const auto context = static_cast<double>(cfg.rope_scaling.original_max_position_embeddings);
  return static_cast<double>(cfg.head_dim) * std::log(context / (rotations * 2 * std::numbers::pi)) /
         (2 * std::log(cfg.rope_theta));
}

/// The head_dim / 2 frequencies. Each step rounds to float32, as Hugging Face's do.
std::vector<float> frequencies_of(const TextConfig& cfg) {
  const RopeScaling& scaling = cfg.rope_scaling;
  const std::int64_t half = cfg.head_dim / 2;
  std::vector<float> frequencies = inverse_frequencies(cfg.rope_theta, half, cfg.head_dim);
  const auto factor = static_cast<float>(scaling.factor);
  if (scaling.type == RopeScaling::Type::none) return frequencies;
  if (scaling.type == RopeScaling::Type::linear) {
    for (float& frequency : frequencies) frequency /= factor;
    return frequencies;
  }
  double low = ramp_end(cfg, scaling.beta_fast);
  double high = ramp_end(cfg, scaling.beta_slow);
  if (scaling.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(cfg.head_dim - 1));
  if (low == high) high += 0.001;  // a ramp needs a length
  for (std::size_t i = 0; i < frequencies.size(); ++i) {
    const float place = (static_cast<float>(i) - static_cast<float>(low)) / static_cast<float>(high - low);
    const float kept = 1.0F - std::clamp(place, 0.0F, 1.0F);
    const float divided = 1.0F / (factor * (1.0F / frequencies[i]));
    frequencies[i] = divided * (1.0F - kept) + frequencies[i] * kept;
  }
  return frequencies;
}

/// Angles [batch, sequence, head_dim / 2] in float32 → the table, one row a token.
RotaryTable table_of(Graph& g, const Scope& s, const TextConfig& cfg, const Value& positions, DataType type) {
  const std::int64_t half = cfg.head_dim / 2;
  const Value frequencies = g.floats(s.path() + ".inv_freq", {half}, frequencies_of(cfg), DataType::float32);
  const Value angles = multiply(g, s, cast(g, s, positions, DataType::float32), frequencies);
  const auto rows = [&](std::string_view function) {
    Value table = g.emit(s, function, {angles}, DataType::float32);
    if (const auto factor = static_cast<float>(cfg.rope_scaling.attention_factor); factor != 1)
      table = multiply(g, s, table, g.float_scalar(factor, DataType::float32));
    return as_type(g, s, reshape(g, s, table, {-1, half}), type);  // [batch · sequence, head_dim / 2]
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
