// What a weight is for. The role, never a part of its name, decides how it is encoded.
#pragma once

#include <string_view>

namespace q3vl {

enum class Role {
  attention_q,
  attention_k,
  attention_v,
  attention_o,
  mlp_gate,
  mlp_up,
  mlp_down,
  lm_head,
  embedding,
  norm,           ///< of the language model: layer norms and the norms of query and key
  vision_linear,  ///< matrices of the visual tower
  vision_vector,  ///< its biases and norms
  vision_table,   ///< its position table
};

/// "attention_q", as manifests and messages say it.
std::string_view name_of(Role role);

}  // namespace q3vl
