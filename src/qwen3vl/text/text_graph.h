// model.onnx: the language model, one step of it over the cache.
#pragma once

#include "config/model_config.h"
#include "ops/builder.h"

namespace q3vl {

struct TextOptions {
  bool embeddings_inside;       ///< the text-only graph: input_ids come in, and no pictures
  bool all_logits;              ///< of every position, or of each row's last attended one
  std::int64_t accuracy_level;  ///< of MatMulNBits
  bool int8_cache;              ///< keys and values are held as int8
};

/// Appends the decoder to an empty graph.
///   inputs_embeds         [batch_size, sequence_length, (1+D)·H]: hidden states and DeepStack levels side by side
///   attention_mask        [batch_size, total_sequence_length] int64; rows may be padded on the right
///   position_ids          [3, batch_size, sequence_length] int64: time, height, width
///   past_key_values.i.*   [batch_size, kv_heads, past_sequence_length, head_dim] of the compute type, or int8
///   logits                [batch_size, 1, vocab_size], or [batch_size, sequence_length, vocab_size]
///   present.i.*           [batch_size, kv_heads, total_sequence_length, head_dim] of the same type
/// With embeddings_inside: input_ids [batch_size, sequence_length] in place of inputs_embeds, and position_ids
/// [batch_size, sequence_length], since without pictures the three axes are one.
void build_text_graph(const Builder& b, const ModelConfig& config, const TextOptions& options);

}  // namespace q3vl
