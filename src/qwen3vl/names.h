// The checkpoint's names that more than one graph uses.
#pragma once

#include "config/model_config.h"
#include "graph/graph.h"

namespace q3vl::names {

inline Scope language_model() {
  return Scope("model.language_model");
}
inline Scope embed_tokens() {
  return language_model() / "embed_tokens";
}

/// The matrix of the output layer: the embedding table itself when the two are tied.
inline Scope head_weight(const TextConfig& text) {
  return text.tie_word_embeddings ? embed_tokens() / "weight" : Scope("lm_head") / "weight";
}

}  // namespace q3vl::names
