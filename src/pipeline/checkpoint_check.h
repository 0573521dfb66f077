// Holds a checkpoint's tensors against what the graphs ask for.
#pragma once

#include <vector>

#include "checkpoint/checkpoint.h"
#include "config/model_config.h"
#include "quant/weight_requests.h"

namespace q3vl {

/// The tensors that no component of the model (`whole`) has, by name. A stored lm_head.weight is no surprise in a tied
/// model.
std::vector<const TensorInfo*> unexpected_tensors(const Checkpoint& checkpoint, const TextConfig& text,
                                                  const WeightRequests& whole);

/// Throws Error(bad_input) that lists every weight of `written` that is missing or of another shape, and, unless
/// `allow_unused`, every unexpected tensor.
void check_weights(const Checkpoint& checkpoint, const TextConfig& text, const WeightRequests& written,
                   const WeightRequests& whole, bool allow_unused);

/// A lm_head.weight that a tied model stores all the same must equal the embedding: reads both where `written` needs
/// the matrix. Throws Error(bad_input).
void check_tied_head(const Checkpoint& checkpoint, const TextConfig& text, const WeightRequests& written);

/// What Checkpoint's headers say, in the form that WeightRequests asks.
WeightLookup lookup_in(const Checkpoint& checkpoint);

}  // namespace q3vl
