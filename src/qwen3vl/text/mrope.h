// Interleaved multimodal rotary positions, computed once for all layers.
#pragma once

#include "config/model_config.h"
#include "ops/rotary.h"

namespace q3vl {

/// The axis (0 time, 1 height, 2 width) that turns each of the head_dim / 2 frequencies: time, but height at 1, 4, 7 …
/// below 3·mrope_section[1] and width at 2, 5, 8 … below 3·mrope_section[2].
std::vector<std::int64_t> axis_of_frequency(const TextConfig& cfg);

/// Cosines and sines for position_ids [3, batch, sequence]. Positions are held at or below the token's own index in
/// `attention_mask` [batch, total]: MRoPE's never exceed it, and one client counts text too far ahead.
RotaryTable mrope_table(Graph& g, const Scope& s, const TextConfig& cfg, const Value& position_ids,
                        const Value& attention_mask, DataType type);

/// The same for text alone, position_ids [batch, sequence].
RotaryTable rope_table(Graph& g, const Scope& s, const TextConfig& cfg, const Value& position_ids, DataType type);

}  // namespace q3vl
