// The two forms of the embedding: token ids, with or without image features → what the decoder starts from.
#pragma once

#include "config/model_config.h"
#include "ops/builder.h"

namespace q3vl {

/// Appends the embedding of a model with vision to an empty graph.
///   input_ids      [batch_size, sequence_length] int64
///   image_features [num_image_tokens, (1+D)·H]; no rows in decode steps and for text
///   inputs_embeds  [batch_size, sequence_length, (1+D)·H]
/// The rows of image_features take the places of the image and video placeholders, in order. Elsewhere stand the
/// token's embedding and, for the DeepStack levels, zeros.
void build_embedding_graph(const Builder& b, const ModelConfig& config);

/// Appends the same without pictures: the client puts the rows of the features in the placeholders' places itself, as
/// Transformers.js does.
///   input_ids      [batch_size, sequence_length] int64
///   inputs_embeds  [batch_size, sequence_length, (1+D)·H]: the token's embedding, and zeros
void build_token_embedding_graph(const Builder& b, const ModelConfig& config);

}  // namespace q3vl
