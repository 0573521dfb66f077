#include "qwen3vl/vision/vision_graph.h"

#include <algorithm>

#include "contract/graph_io.h"
#include "ops/activation.h"
#include "ops/attention.h"
#include "ops/linear.h"
#include "ops/norm.h"
#include "ops/shape.h"
#include "qwen3vl/vision/patch_positions.h"

namespace q3vl {
namespace {

constexpr double kLayerNormEpsilon = 1e-6;  // fixed in Hugging Face's model, not in the config

/// What a norm hands to the linear layer behind it.
struct Normed {
  Value x;
  std::string balanced_by;  ///< the norm, when it is balanced for products of integers
};

Normed layer_norm_for(const Builder& b, Role next, const Scope& s, const Value& x, std::int64_t width) {
  if (b.weights.encoding(next).format != Encoding::Format::w8a8)
    return {layer_norm(b, s, x, width, kLayerNormEpsilon), ""};
  return {layer_norm(b, s, x, width, kLayerNormEpsilon, NormOutput::balanced), s.path()};
}

/// [rows, hidden] → [rows, hidden]; `positions` says how many rows attend to each other.
Value attention(const Builder& b, const Scope& s, const VisionConfig& cfg, const Normed& input,
                const PatchPositions& positions) {
  Graph& g = b.graph;
  const std::int64_t hidden = cfg.hidden_size;
  const Value qkv =
      affine(b, s / "qkv", input.x,
             {.in = hidden, .out = 3 * hidden, .role = Role::vision_qkv, .balanced_by = input.balanced_by});
  const Value framed = reshape(g, s / "qkv", qkv, positions.framed_qkv_shape);  // [frames, h·w, 3·hidden]
  const std::vector<Value> parts = split(g, s / "qkv", framed, 3, 2);           // [frames, h·w, hidden] each
  const Value q = rotate(g, s / "q", parts[0], positions.rotary, cfg.num_heads);
  const Value k = rotate(g, s / "k", parts[1], positions.rotary, cfg.num_heads);
  const Value mixed = full_attention(g, s, q, k, parts[2], cfg.num_heads);
  return affine(b, s / "proj", reshape(g, s, mixed, {-1, hidden}),
                {.in = hidden, .out = hidden, .role = Role::vision_proj});
}

Value mlp(const Builder& b, const Scope& s, const VisionConfig& cfg, const Normed& input) {
  const std::int64_t hidden = cfg.hidden_size;
  const std::int64_t inner = cfg.intermediate_size;
  const Value wide = affine(b, s / "linear_fc1", input.x,
                            {.in = hidden, .out = inner, .role = Role::vision_fc1, .balanced_by = input.balanced_by});
  return affine(b, s / "linear_fc2", gelu_tanh(b.graph, s / "act_fn", wide),
                {.in = inner, .out = hidden, .role = Role::vision_fc2});
}

/// [rows, hidden] → [rows, hidden]
Value block(const Builder& b, const Scope& s, const VisionConfig& cfg, const Value& x,
            const PatchPositions& positions) {
  Graph& g = b.graph;
  const Normed first = layer_norm_for(b, Role::vision_qkv, s / "norm1", x, cfg.hidden_size);
  const Value attended = add(g, s / "attn", x, attention(b, s / "attn", cfg, first, positions));
  const Normed second = layer_norm_for(b, Role::vision_fc1, s / "norm2", attended, cfg.hidden_size);
  return add(g, s / "mlp", attended, mlp(b, s / "mlp", cfg, second));
}

/// Rows that stand behind each other become one token: [rows, hidden] → [rows / merge², out_hidden]. The main merger
/// normalises patches, the DeepStack mergers normalise what they have put side by side.
Value patch_merger(const Builder& b, const Scope& s, const VisionConfig& cfg, const Value& x, bool norm_after_merge) {
  Graph& g = b.graph;
  const std::int64_t merged = cfg.merged_hidden_size();
  const auto side_by_side = [&](const Value& rows) { return reshape(g, s, rows, {-1, merged}); };
  const auto norm = [&](const Value& rows, std::int64_t width) {
    return layer_norm_for(b, Role::vision_merger, s / "norm", rows, width);
  };
  Normed y = norm_after_merge ? norm(side_by_side(x), merged) : norm(x, cfg.hidden_size);
  if (!norm_after_merge) y.x = side_by_side(y.x);
  const Value wide = affine(b, s / "linear_fc1", y.x,
                            {.in = merged, .out = merged, .role = Role::vision_merger, .balanced_by = y.balanced_by});
  return affine(b, s / "linear_fc2", gelu_erf(g, s / "act_fn", wide),
                {.in = merged, .out = cfg.out_hidden_size, .role = Role::vision_merger});
}

/// All frames of one image: patches [t·h·w, values] → [t·h·w / merge², (1+D)·H].
Value tower(const Builder& b, const Scope& s, const VisionConfig& cfg, const Value& patches,
            const PatchPositions& positions) {
  Graph& g = b.graph;
  const Shape conv = {cfg.hidden_size, cfg.in_channels, cfg.temporal_patch_size, cfg.patch_size, cfg.patch_size};
  // A convolution whose stride is its kernel is a linear layer on each patch.
  const Value embedded = affine(
      b, s / "patch_embed" / "proj", patches,
      {.in = cfg.patch_values(), .out = cfg.hidden_size, .role = Role::vision_patch_embed, .stored_shape = conv});
  const Value framed = reshape(g, s / "patch_embed", embedded, positions.framed_shape);  // [frames, h·w, hidden]
  Value x = reshape(g, s / "pos_embed", add(g, s / "pos_embed", framed, positions.embedding), {-1, cfg.hidden_size});

  std::vector<Value> features(1);  // the merged features come first, but are known last
  const auto& taps = cfg.deepstack_visual_indexes;
  for (std::int64_t layer = 0; layer < cfg.depth; ++layer) {
    x = block(b, s / "blocks" / layer, cfg, x, positions);
    const auto tap = std::find(taps.begin(), taps.end(), layer);
    if (tap != taps.end())
      features.push_back(patch_merger(b, s / "deepstack_merger_list" / (tap - taps.begin()), cfg, x, true));
  }
  features.front() = patch_merger(b, s / "merger", cfg, x, false);
  return features.size() == 1 ? features.front() : concat(g, s, features, 1);
}

}  // namespace

void build_vision_graph(const Builder& b, const ModelConfig& config) {
  const VisionConfig& cfg = *config.vision;
  const std::int64_t width = config.features_width();
  const DataType type = b.target.compute_type;
  Graph& g = b.graph;
  const Scope s("model.visual");
  const Value pixels = g.input(contract::kPixelValues, type, {contract::kNumPatches, cfg.patch_values()});
  const Value grids = g.input(contract::kImageGridThw, DataType::int64, {contract::kNumImages, std::int64_t{3}});

  // One pass a picture: its frames are a batch of unmasked attention, so memory grows with the patches, never with
  // their square. The features of the pictures before it wait in a sequence, which starts with no rows rather than
  // empty, so that no picture at all is legal too.
  const std::shared_ptr<Graph> body = g.subgraph("one_image");
  const Scope in_loop("image");
  const Value image = body->input("image_index", DataType::int64, {});
  const Value condition = body->input("condition_in", DataType::boolean, {});
  const Value begin = body->input("first_patch", DataType::int64, {std::int64_t{1}});
  const Value done = body->sequence_input("features_before", type);

  const Value grid = gather(*body, in_loop / "grid", grids, image);  // [3]
  const ImageGrid sizes = image_grid(*body, in_loop / "grid", grid);
  const Value end = add(*body, in_loop / "patches", begin, unsqueeze(*body, in_loop / "patches", sizes.patches, 0));
  const Value patches = slice(*body, in_loop / "patches", pixels, begin, end, 0);
  const Builder inner = b.inside(*body);
  const Value features = tower(inner, s, cfg, patches, patch_positions(inner, s, cfg, sizes));
  const Value all = body->emit(in_loop / "features", "SequenceInsert", {done, features}, type);

  const Value go_on = body->emit(in_loop / "condition", "Identity", {condition}, DataType::boolean);
  body->output("condition_out", go_on, {});
  body->output("next_first_patch", end, {std::int64_t{1}});
  body->sequence_output(all);

  const Value none =
      g.emit(s / "no_features", "SequenceConstruct", {g.floats("no_features", {0, width}, {}, type)}, type);
  const Value images = dimension(g, s / "num_images", grids, 0);
  const auto loop = g.emit_many(s / "images", "Loop", {images, Value{}, g.integers({0}), none}, {DataType::int64, type},
                                Attributes().set("body", body));
  const Value joined = g.emit(s, "ConcatFromSequence", {loop[1]}, type, Attributes().set("axis", 0));
  g.output(contract::kImageFeatures, joined, {contract::kNumTokens, width});
}

}  // namespace q3vl
