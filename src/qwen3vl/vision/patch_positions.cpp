#include "qwen3vl/vision/patch_positions.h"

#include "ops/cast.h"
#include "ops/shape.h"
#include "ops/weight.h"

namespace q3vl {
namespace {

constexpr double kRotaryTheta = 10000.0;  // fixed in Hugging Face's model, not in the config

struct PatchPlaces {
  Value row;     ///< int64 [h·w]
  Value column;  ///< int64 [h·w]
};

PatchPlaces patch_places(Graph& g, const Scope& s, const ImageGrid& grid, std::int64_t merge) {
  const Value patch = range(g, s, grid.frame_patches);
  const Value side = g.scalar(merge);
  const Value unit = g.scalar(merge * merge);
  const Value block = divide(g, s, patch, unit);
  const Value in_block = remainder(g, s, patch, unit);
  const Value blocks_across = divide(g, s, grid.columns, side);
  const Value row = add(g, s, multiply(g, s, divide(g, s, block, blocks_across), side), divide(g, s, in_block, side));
  const Value column =
      add(g, s, multiply(g, s, remainder(g, s, block, blocks_across), side), remainder(g, s, in_block, side));
  return {row, column};
}

/// The two lines of the table between which a patch falls along one axis, and how near it is to each.
struct Neighbours {
  Value low;  ///< int64 [h·w]
  Value high;
  Value low_weight;  ///< float32 [h·w]; the two sum to 1
  Value high_weight;
};

/// Aligned corners: the `count` patches of a line divide the table's side evenly, ends on ends. The division is that of
/// torch.linspace in float32, counted from both ends with a rounded step, so that the weights are Hugging Face's to the
/// last bit.
Neighbours neighbours(Graph& g, const Scope& s, const Value& place, const Value& count, std::int64_t side) {
  constexpr DataType type = DataType::float32;
  const Value one = g.scalar(1);
  const Value last = subtract(g, s, count, one);
  const Value gaps = cast(g, s, maximum(g, s, last, one), type);
  const Value end = g.float_scalar(static_cast<float>(side - 1), type);
  const Value step = divide(g, s, end, gaps);
  const Value from_begin = multiply(g, s, step, cast(g, s, place, type));
  const Value from_end = subtract(g, s, end, multiply(g, s, step, cast(g, s, subtract(g, s, last, place), type)));
  // A line of one patch lies at the beginning.
  const Value half = maximum(g, s, divide(g, s, count, g.scalar(2)), one);
  const Value in_first_half = g.emit(s, "Less", {place, half}, DataType::boolean);
  const Value point = g.emit(s, "Where", {in_first_half, from_begin, from_end}, type);
  const Value floor = g.emit(s, "Floor", {point}, type);
  const Value low = cast(g, s, floor, DataType::int64);
  const Value high = minimum(g, s, add(g, s, low, one), g.scalar(side - 1));
  const Value high_weight = subtract(g, s, point, floor);
  return {low, high, subtract(g, s, g.float_scalar(1.0F, type), high_weight), high_weight};
}

Value interpolated_table(const Builder& b, const Scope& s, const VisionConfig& cfg, const PatchPlaces& places,
                         const ImageGrid& grid) {
  Graph& g = b.graph;
  const std::int64_t side = cfg.position_table_side();
  const Value table = float_weight(b, s / "weight", {cfg.num_position_embeddings, cfg.hidden_size}, Role::vision_table);
  const Neighbours row = neighbours(g, s / "row", places.row, grid.rows, side);
  const Neighbours column = neighbours(g, s / "column", places.column, grid.columns, side);
  const auto corner = [&](const Value& r, const Value& r_weight, const Value& c, const Value& c_weight) {
    const Value index = add(g, s, multiply(g, s, r, g.scalar(side)), c);
    const Value weight = unsqueeze(g, s, multiply(g, s, r_weight, c_weight), 1);           // [h·w, 1]
    return multiply(g, s, gather(g, s, table, index), as_type(g, s, weight, table.type));  // [h·w, hidden]
  };
  Value sum = corner(row.low, row.low_weight, column.low, column.low_weight);
  sum = add(g, s, sum, corner(row.low, row.low_weight, column.high, column.high_weight));
  sum = add(g, s, sum, corner(row.high, row.high_weight, column.low, column.low_weight));
  return add(g, s, sum, corner(row.high, row.high_weight, column.high, column.high_weight));
}

/// Half of the frequencies turn with the row, half with the column.
RotaryTable rotary_table(Graph& g, const Scope& s, const VisionConfig& cfg, const PatchPlaces& places, DataType type) {
  const std::int64_t quarter = cfg.head_dim() / 4;
  const Value frequencies = g.floats("model.visual.rotary_pos_emb.inv_freq", {quarter},
                                     inverse_frequencies(kRotaryTheta, quarter, 2 * quarter), DataType::float32);
  const auto angles = [&](const Value& place) {  // in float32, whatever the table's type: [h·w, head_dim / 4]
    return multiply(g, s, unsqueeze(g, s, cast(g, s, place, DataType::float32), 1), frequencies);
  };
  const Value angle = concat(g, s, {angles(places.row), angles(places.column)}, 1);  // [h·w, head_dim / 2]
  const Value cosines = g.emit(s, "Cos", {angle}, DataType::float32);
  const Value sines = g.emit(s, "Sin", {angle}, DataType::float32);
  return {as_type(g, s, cosines, type), as_type(g, s, sines, type), g.integers({0})};
}

}  // namespace

ImageGrid image_grid(Graph& g, const Scope& s, const Value& grid) {
  const Value frames = gather(g, s, grid, g.scalar(0));
  const Value rows = gather(g, s, grid, g.scalar(1));
  const Value columns = gather(g, s, grid, g.scalar(2));
  const Value frame_patches = multiply(g, s, rows, columns);
  return {rows, columns, frame_patches, multiply(g, s, frames, frame_patches)};
}

PatchPositions patch_positions(const Builder& b, const Scope& visual, const VisionConfig& cfg, const ImageGrid& grid) {
  Graph& g = b.graph;
  const PatchPlaces places = patch_places(g, visual / "patches", grid, cfg.spatial_merge_size);
  const auto framed = [&](std::int64_t width) {
    return concat(g, visual / "frames",
                  {g.integers({-1}), unsqueeze(g, visual / "frames", grid.frame_patches, 0), g.integers({width})}, 0);
  };
  return {interpolated_table(b, visual / "pos_embed", cfg, places, grid),
          rotary_table(g, visual / "rotary_pos_emb", cfg, places, b.target.compute_type), framed(cfg.hidden_size),
          framed(3 * cfg.hidden_size)};
}

}  // namespace q3vl
