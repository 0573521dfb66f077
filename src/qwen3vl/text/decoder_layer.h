// One layer of the language model.
#pragma once

#include <utility>

#include "config/model_config.h"
#include "ops/attention.h"
#include "ops/builder.h"
#include "ops/norm.h"
#include "ops/rotary.h"

namespace q3vl {

/// What all layers of one step share.
struct Step {
  RotaryTable rotary;
  SequenceLengths lengths;
  std::vector<Value> deepstack;  ///< [batch, sequence, H] each; level i is added after layer i
  std::int64_t accuracy_level;   ///< of MatMulNBits
};

/// Layer `layer`: the residual stream [batch, sequence, H] and the layer's cache → both after it.
std::pair<Residual, KeyValue> decoder_layer(const Builder& b, const Scope& s, const TextConfig& cfg,
                                            const Residual& residual, const KeyValue& past, const Step& step,
                                            std::int64_t layer);

}  // namespace q3vl
