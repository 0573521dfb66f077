// One layer of the language model.
#pragma once

#include <span>
#include <utility>

#include "config/model_config.h"
#include "ops/attention.h"
#include "ops/builder.h"
#include "ops/linear.h"
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

/// The norm of the residual's sum as the input of linear layers, and the sum itself. Where all of `readers` are w8a8 in
/// this layer, the norm is balanced for them.
std::pair<LinearInput, Value> norm_for(const Builder& b, std::span<const Role> readers, std::int64_t layer,
                                       const Scope& s, const Residual& residual, const TextConfig& cfg);

/// Layer `layer`: the residual stream [batch, sequence, H] and the layer's cache, of floats or int8 → both after it.
std::pair<Residual, KeyValue> decoder_layer(const Builder& b, const Scope& s, const TextConfig& cfg,
                                            const Residual& residual, const KeyValue& past, const Step& step,
                                            std::int64_t layer);

}  // namespace q3vl
