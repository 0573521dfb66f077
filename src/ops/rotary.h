// Rotary position embedding.
#pragma once

#include <vector>

#include "graph/graph.h"

namespace q3vl {

/// Cosines and sines, one row a position: [rows, head_dim / 2], and which row each token takes.
struct RotaryTable {
  Value cos;
  Value sin;
  Value row_ids;  ///< int64 [batch, sequence], or [1]: the row of the first token, the others following
};

/// base^(−2i / width) for i < count, rounded as Hugging Face's float32 computation rounds it.
std::vector<float> inverse_frequencies(double base, std::int64_t count, std::int64_t width);

/// Rotates the halves of every head: x [batch, sequence, num_heads · head_dim].
Value rotate(Graph& g, const Scope& s, const Value& x, const RotaryTable& table, std::int64_t num_heads);

}  // namespace q3vl
