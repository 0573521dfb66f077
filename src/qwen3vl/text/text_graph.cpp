#include "qwen3vl/text/text_graph.h"

#include <array>

#include "contract/graph_io.h"
#include "ops/cast.h"
#include "ops/embedding_lookup.h"
#include "ops/linear.h"
#include "ops/shape.h"
#include "qwen3vl/kv_cache/kv_cache.h"
#include "qwen3vl/names.h"
#include "qwen3vl/text/decoder_layer.h"
#include "qwen3vl/text/mrope.h"

namespace q3vl {
namespace {

/// [batch] tokens that each row attends to, counted from the mask, less one; and the mask's length.
SequenceLengths sequence_lengths(Graph& g, const Scope& s, const Value& attended, const Value& attention_mask) {
  const Value last = subtract(g, s, attended, g.scalar(1));
  return {cast(g, s / "last_index", last, DataType::int32),
          cast(g, s / "total", dimension(g, s, attention_mask, 1), DataType::int32)};
}

/// The place, among the new tokens, of each row's last attended one: [batch, 1, 1]. That is attended − past − 1, where
/// past is the mask's length less the new tokens: the cache's own length may be that of a larger buffer. In a decode
/// step a row that was padded in the prompt has attended to fewer tokens than the batch is long; its one new token is
/// the last all the same.
Value last_places(Graph& g, const Scope& s, const Value& attended, const Value& attention_mask, const Value& hidden) {
  const Value sequence = dimension(g, s / "sequence", hidden, 1);
  const Value past = subtract(g, s, dimension(g, s / "total", attention_mask, 1), sequence);
  const Value place = subtract(g, s, subtract(g, s, attended, past), g.scalar(1));
  return reshape(g, s, maximum(g, s, place, g.scalar(0)), {-1, 1, 1});
}

/// x [batch, sequence, H] at `places` [batch, 1, 1] → [batch, 1, H].
Value pick(Graph& g, const Scope& s, const Value& x, const Value& places) {
  return g.emit(s, "GatherND", {x, places}, x.type, Attributes().set("batch_dims", 1));
}

}  // namespace

void build_text_graph(const Builder& b, const ModelConfig& config, const TextOptions& options) {
  const TextConfig& cfg = config.text;
  const DataType type = b.target.compute_type;
  Graph& g = b.graph;
  const Scope s = names::language_model(cfg);
  const std::int64_t width = config.features_width();

  const Value input = options.embeddings_inside
                          ? g.input(contract::kInputIds, DataType::int64, {contract::kBatch, contract::kSequence})
                          : g.input(contract::kInputsEmbeds, type, {contract::kBatch, contract::kSequence, width});
  const Value mask = g.input(contract::kAttentionMask, DataType::int64, {contract::kBatch, contract::kTotalSequence});
  const Value positions =
      options.embeddings_inside
          ? g.input(contract::kPositionIds, DataType::int64, {contract::kBatch, contract::kSequence})
          : g.input(contract::kPositionIds, DataType::int64, {std::int64_t{3}, contract::kBatch, contract::kSequence});
  const std::vector<KeyValue> past = past_inputs(g, cfg, options.int8_cache ? DataType::int8 : type);

  const Value attended = g.emit(s / "attended", "ReduceSum", {mask, g.integers({1})}, DataType::int64,
                                Attributes().set("keepdims", 0));  // [batch]
  Step step{.rotary = options.embeddings_inside ? rope_table(g, s / "rotary_emb", cfg, positions, type)
                                                : mrope_table(g, s / "rotary_emb", cfg, positions, mask, type),
            .lengths = sequence_lengths(g, s / "lengths", attended, mask),
            .deepstack = {},
            .accuracy_level = options.accuracy_level};
  Residual residual;
  if (options.embeddings_inside) {
    residual.x = embedding_lookup(b, names::embed_tokens(cfg), names::embed_tokens(cfg) / "weight", input,
                                  cfg.vocab_size, cfg.hidden_size);
  } else if (config.deepstack_levels() == 0) {
    residual.x = input;
  } else {
    std::vector<Value> slices = split(g, s / "deepstack", input, 1 + config.deepstack_levels(), 2);
    residual.x = slices.front();
    step.deepstack.assign(slices.begin() + 1, slices.end());
  }

  std::vector<KeyValue> present;
  for (std::int64_t layer = 0; layer < cfg.num_hidden_layers; ++layer) {
    auto [next, cache] =
        decoder_layer(b, s / "layers" / layer, cfg, residual, past[static_cast<std::size_t>(layer)], step, layer);
    residual = next;
    present.push_back(cache);
  }
  if (!options.all_logits) {
    // Before the last norm and the largest matrix, so that a prompt costs one row of each.
    const Value places = last_places(g, s / "last_place", attended, mask, residual.x);
    residual = {pick(g, s / "last_token", residual.x, places), pick(g, s / "last_token", *residual.added, places)};
  }
  const Scope head("lm_head");
  constexpr std::array kReaders = {Role::lm_head};
  LinearInput normed = norm_for(b, kReaders, WeightUse::kNoLayer, s / "norm", residual, cfg).first;
  const Value logits = linear(b, head, Scope(cfg.head_weight()), normed, cfg.hidden_size, cfg.vocab_size, Role::lm_head,
                              options.accuracy_level);

  g.output(contract::kLogits, logits,
           {contract::kBatch, options.all_logits ? Dim(contract::kSequence) : Dim(std::int64_t{1}), cfg.vocab_size});
  present_outputs(g, cfg, present);
}

}  // namespace q3vl
