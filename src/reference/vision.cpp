#include "reference/vision.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "qwen3vl_export/error.h"
#include "reference/layers.h"

namespace q3vl::reference {
namespace {

constexpr double kLayerNormEps = 1e-6;
constexpr double kRotaryTheta = 10000.0;

const std::string kVisual = "model.visual";

/// torch.linspace(0, side - 1, count) in float32, as the CPU computes it for one element at a time: counted from both
/// ends with a rounded step. Written out because LibTorch's vectorised form rounds differently from machine to machine.
at::Tensor aligned_corners(std::int64_t count, std::int64_t side) {
  at::Tensor points = at::zeros({count}, at::kFloat);
  if (count == 1) return points;
  const auto end = static_cast<float>(side - 1);
  const float step = end / static_cast<float>(count - 1);
  for (std::int64_t i = 0; i < count; ++i)
    points[i] = i < count / 2 ? step * static_cast<float>(i) : end - step * static_cast<float>(count - 1 - i);
  return points;
}

/// [h, w] in raster order -> [t·h·w] in merge order, the same for every frame.
at::Tensor to_merge_order(const at::Tensor& raster, const Grid& grid, std::int64_t merge) {
  return raster
      .reshape({grid.h / merge, merge, grid.w / merge, merge})  // [h, w] -> [h/m, m, w/m, m]
      .transpose(1, 2)                                          // -> [h/m, w/m, m, m]
      .flatten()
      .repeat({grid.t});
}

/// Full attention inside each frame of each grid, never across. `x` [N, hidden] -> [N, hidden].
at::Tensor attention(const VisionConfig& config, const WeightProvider& weights, const std::string& name,
                     const at::Tensor& x, std::span<const Grid> grids, const Rotary& rotary) {
  const std::int64_t heads = config.num_heads;
  const std::int64_t head_dim = config.head_dim();
  const at::Tensor qkv = linear(weights, name + ".qkv", x).reshape({-1, 3, heads, head_dim});  // [N, 3, heads, d]
  const at::Tensor q = apply_rotary(qkv.select(1, 0), rotary);                                 // [N, heads, d]
  const at::Tensor k = apply_rotary(qkv.select(1, 1), rotary);
  const at::Tensor v = qkv.select(1, 2);

  std::vector<at::Tensor> outputs;
  std::int64_t begin = 0;
  for (const Grid& grid : grids) {
    const std::int64_t patches = grid.h * grid.w;
    for (std::int64_t frame = 0; frame < grid.t; ++frame, begin += patches) {
      const auto part = [&](const at::Tensor& all) {  // [N, heads, d] -> [heads, h·w, d]
        return all.narrow(0, begin, patches).transpose(0, 1);
      };
      outputs.push_back(attend(part(q), part(k), part(v), /*bias=*/{}));  // [h·w, H]
    }
  }
  return linear(weights, name + ".proj", at::cat(outputs));
}

at::Tensor block(const VisionConfig& config, const WeightProvider& weights, const std::string& name, at::Tensor x,
                 std::span<const Grid> grids, const Rotary& rotary) {
  x = x +
      attention(config, weights, name + ".attn", layer_norm(weights, name + ".norm1", x, kLayerNormEps), grids, rotary);
  const at::Tensor up =
      linear(weights, name + ".mlp.linear_fc1", layer_norm(weights, name + ".norm2", x, kLayerNormEps));
  return x + linear(weights, name + ".mlp.linear_fc2", at::gelu(up, "tanh"));
}

/// merge² neighbouring patches become one token: [N, hidden] -> [N / merge², out_hidden]. The main merger normalises
/// each patch, the DeepStack mergers (`norm_after_shuffle`) the joined row.
at::Tensor merger(const VisionConfig& config, const WeightProvider& weights, const std::string& name,
                  const at::Tensor& x, bool norm_after_shuffle) {
  const std::vector<std::int64_t> joined{-1, config.merged_hidden_size()};  // [N, hidden] -> [N/m², m²·hidden]
  const at::Tensor rows = norm_after_shuffle ? layer_norm(weights, name + ".norm", x.reshape(joined), kLayerNormEps)
                                             : layer_norm(weights, name + ".norm", x, kLayerNormEps).reshape(joined);
  return linear(weights, name + ".linear_fc2", at::gelu(linear(weights, name + ".linear_fc1", rows), "none"));
}

}  // namespace

BilinearCorners bilinear_corners(std::span<const Grid> grids, std::int64_t table_side, std::int64_t merge) {
  std::vector<at::Tensor> indices, weights;
  for (const Grid& grid : grids) {
    const at::Tensor rows = aligned_corners(grid.h, table_side).unsqueeze(1);     // [h, 1]
    const at::Tensor columns = aligned_corners(grid.w, table_side).unsqueeze(0);  // [1, w]
    const at::Tensor row_floor = rows.floor(), column_floor = columns.floor();
    const at::Tensor row_ceil = (row_floor + 1).clamp_max(table_side - 1);
    const at::Tensor column_ceil = (column_floor + 1).clamp_max(table_side - 1);
    const at::Tensor row_part = rows - row_floor, column_part = columns - column_floor;

    const auto corner = [&](const at::Tensor& row, const at::Tensor& column) {
      return to_merge_order(row.to(at::kLong) * table_side + column.to(at::kLong), grid, merge);
    };
    const auto weight = [&](const at::Tensor& row, const at::Tensor& column) {
      return to_merge_order(row * column, grid, merge);
    };
    indices.push_back(at::stack({corner(row_floor, column_floor), corner(row_floor, column_ceil),
                                 corner(row_ceil, column_floor), corner(row_ceil, column_ceil)}));
    weights.push_back(at::stack({weight(1 - row_part, 1 - column_part), weight(1 - row_part, column_part),
                                 weight(row_part, 1 - column_part), weight(row_part, column_part)}));
  }
  return {at::cat(indices, 1), at::cat(weights, 1)};
}

at::Tensor patch_positions(std::span<const Grid> grids, std::int64_t merge) {
  std::vector<at::Tensor> positions;
  for (const Grid& grid : grids) {
    const at::Tensor rows = at::arange(grid.h, at::kLong).unsqueeze(1).expand({grid.h, grid.w});
    const at::Tensor columns = at::arange(grid.w, at::kLong).unsqueeze(0).expand({grid.h, grid.w});
    positions.push_back(at::stack({to_merge_order(rows, grid, merge), to_merge_order(columns, grid, merge)}, 1));
  }
  return at::cat(positions);
}

VisionFeatures vision_forward(const VisionConfig& config, const WeightProvider& weights, const at::Tensor& pixel_values,
                              std::span<const Grid> grids, const Observer& observe) {
  const auto seen = [&observe](const std::string& name, const at::Tensor& value) {
    if (observe) observe(name, value);
  };
  std::int64_t patches = 0;
  for (const Grid& grid : grids) patches += grid.patches();
  if (pixel_values.dim() != 2 || pixel_values.size(0) != patches || pixel_values.size(1) != config.patch_values())
    throw Error(ErrorKind::bad_input,
                fmt::format("pixel_values has the shape [{}], expected [{}, {}] from the grids",
                            fmt::join(pixel_values.sizes(), ", "), patches, config.patch_values()));

  // A convolution whose stride is its kernel: [hidden, C, T, patch, patch] -> [hidden, C·T·patch²] and a product.
  const at::Tensor kernel = weights(kVisual + ".patch_embed.proj.weight").flatten(1);
  at::Tensor x = times_transposed(pixel_values, kernel).add_(weights(kVisual + ".patch_embed.proj.bias"));
  seen("patch_embed", x);

  const BilinearCorners corners = bilinear_corners(grids, config.position_table_side(), config.spatial_merge_size);
  const at::Tensor table = weights(kVisual + ".pos_embed.weight");
  at::Tensor pos_embeds = at::zeros_like(x);
  for (std::int64_t corner = 0; corner < 4; ++corner)  // [N, hidden] · [N, 1]
    pos_embeds = pos_embeds + table.index_select(0, corners.indices[corner]) * corners.weights[corner].unsqueeze(1);
  seen("pos_embeds", pos_embeds);
  x = x + pos_embeds;

  // Half of a head's frequencies turn with the row, half with the column: [N, 2, 1]·[d/4] -> [N, 2, d/4] -> [N, d/2].
  const at::Tensor angles = patch_positions(grids, config.spatial_merge_size).unsqueeze(2) *
                            inverse_frequencies(kRotaryTheta, config.head_dim() / 2);
  Rotary rotary = rotary_of(angles.flatten(1));
  seen("rope_cos", rotary.cos);
  seen("rope_sin", rotary.sin);
  rotary = {rotary.cos.unsqueeze(1), rotary.sin.unsqueeze(1)};  // [N, d] -> [N, 1, d], for all heads

  VisionFeatures result;
  for (std::int64_t layer = 0; layer < config.depth; ++layer) {
    x = block(config, weights, fmt::format("{}.blocks.{}", kVisual, layer), x, grids, rotary);
    seen(fmt::format("block_{}", layer), x);
    // The features come in order of the layers, each through the merger at its index's place in the config's list.
    const auto& taps = config.deepstack_visual_indexes;
    if (const auto tap = std::ranges::find(taps, layer); tap != taps.end()) {
      const std::string name = fmt::format("{}.deepstack_merger_list.{}", kVisual, tap - taps.begin());
      result.deepstack.push_back(merger(config, weights, name, x, /*norm_after_shuffle=*/true));
      seen(fmt::format("deepstack_{}", result.deepstack.size() - 1), result.deepstack.back());
    }
  }
  seen("last_hidden_state", x);
  result.features = merger(config, weights, kVisual + ".merger", x, /*norm_after_shuffle=*/false);
  seen("image_features", result.features);
  return result;
}

}  // namespace q3vl::reference
