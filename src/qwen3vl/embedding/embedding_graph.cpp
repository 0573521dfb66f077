#include "qwen3vl/embedding/embedding_graph.h"

#include "contract/graph_io.h"
#include "ops/embedding_lookup.h"
#include "ops/shape.h"
#include "qwen3vl/names.h"

namespace q3vl {
namespace {

/// [batch, sequence, H] → [batch, sequence, (1+D)·H], zeros behind.
Value widen(Graph& g, const Scope& s, const Value& embeds, std::int64_t extra) {
  if (extra == 0) return embeds;
  return g.emit(s, "Pad", {embeds, g.integers({0, 0, 0, 0, 0, extra})}, embeds.type);
}

/// The tokens' own rows, [batch, sequence, (1+D)·H].
Value look_up(const Builder& b, const ModelConfig& config, const Value& input_ids) {
  const std::int64_t hidden = config.text.hidden_size;
  const Scope table = names::embed_tokens(config.text);
  const Value embeds = embedding_lookup(b, table, table / "weight", input_ids, config.text.vocab_size, hidden);
  return widen(b.graph, table, embeds, config.features_width() - hidden);
}

}  // namespace

void build_token_embedding_graph(const Builder& b, const ModelConfig& config) {
  Graph& g = b.graph;
  const Value input_ids = g.input(contract::kInputIds, DataType::int64, {contract::kBatch, contract::kSequence});
  g.output(contract::kInputsEmbeds, look_up(b, config, input_ids),
           {contract::kBatch, contract::kSequence, config.features_width()});
}

void build_embedding_graph(const Builder& b, const ModelConfig& config) {
  const std::int64_t width = config.features_width();
  Graph& g = b.graph;
  const Value input_ids = g.input(contract::kInputIds, DataType::int64, {contract::kBatch, contract::kSequence});
  const Value features = g.input(contract::kImageFeatures, b.target.compute_type, {contract::kNumTokens, width});
  const Value wide = look_up(b, config, input_ids);

  const Scope s("placeholders");
  const Value is_image = g.emit(s / "image", "Equal", {input_ids, g.scalar(*config.image_token_id)}, DataType::boolean);
  const Value is_video = g.emit(s / "video", "Equal", {input_ids, g.scalar(*config.video_token_id)}, DataType::boolean);
  const Value is_visual = g.emit(s, "Or", {is_image, is_video}, DataType::boolean);
  const Value places = g.emit(s, "NonZero", {is_visual}, DataType::int64);  // [2, tokens]
  const Value indices =
      g.emit(s, "Transpose", {places}, DataType::int64, Attributes().set("perm", {1, 0}));  // [tokens, 2]
  const Value filled = g.emit(s, "ScatterND", {wide, indices, features}, wide.type);
  g.output(contract::kInputsEmbeds, filled, {contract::kBatch, contract::kSequence, width});
}

}  // namespace q3vl
