// ROLE[@LAYERS]=SPEC: what some tensors of the language model are stored as, instead of what their component says.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "quant/role.h"
#include "recipe/tensor_spec.h"

namespace q3vl {

/// Layers first … last, both of them included; negative ones count from the end, −1 being the last.
struct LayerRange {
  std::int64_t first;
  std::int64_t last;
  bool operator==(const LayerRange&) const = default;
};

struct TensorRule {
  Role role;
  std::vector<LayerRange> layers;  ///< empty: all
  TensorSpec spec;

  /// Whether it speaks of a weight of a model of `layer_count` layers.
  bool covers(const WeightUse& use, std::int64_t layer_count) const;
};

/// `text` as in "mlp_down@0..3,-1=int8-block32"; `what` is the flag or key that it stands in. Throws Error(usage).
TensorRule parse_rule(const std::string& what, const std::string& text);

std::string to_string(const TensorRule& rule);

/// Throws Error(usage) when the rule names a layer that a model of `layer_count` layers has not.
void check_layers(const TensorRule& rule, std::int64_t layer_count);

}  // namespace q3vl
