// What a weight is for. The role, never a part of its name, decides how it is encoded.
#pragma once

#include <cstdint>
#include <string_view>

namespace q3vl {

/// Those of the language model first, then the visual tower's.
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
  norm,                ///< of the language model: layer norms and the norms of query and key
  value_norms,         ///< the lengths of the value projection's rows, which scale an INT8 cache
  vision_patch_embed,  ///< what turns the visual tower's patches into rows
  vision_qkv,          ///< matrices of its blocks
  vision_proj,
  vision_fc1,
  vision_fc2,
  vision_merger,  ///< matrices of its mergers
  vision_vector,  ///< its biases and norms
  vision_table,   ///< its position table
};

/// A weight's role and, in the language model, its layer.
struct WeightUse {
  WeightUse(Role its_role, std::int64_t its_layer = kNoLayer) : role(its_role), layer(its_layer) {}

  static constexpr std::int64_t kNoLayer = -1;
  Role role;
  std::int64_t layer;  ///< kNoLayer for what is in none
};

/// Whether the visual tower has it.
bool is_vision(Role role);

/// "attention_q", as manifests and messages say it.
std::string_view name_of(Role role);

}  // namespace q3vl
