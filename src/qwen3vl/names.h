// The checkpoint's names that more than one graph uses.
#pragma once

#include "config/model_config.h"
#include "graph/graph.h"

namespace q3vl::names {

inline Scope language_model(const TextConfig& text) {
  return Scope(text.module);
}
inline Scope embed_tokens(const TextConfig& text) {
  return language_model(text) / "embed_tokens";
}

/// The output layer's own matrix. A tied model may store it all the same.
inline constexpr const char* kHeadWeight = "lm_head.weight";

}  // namespace q3vl::names
