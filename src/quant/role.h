// What a weight is for. The role, never a part of its name, decides how it is encoded.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
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

/// What there is to know of a role: a row of role.cpp. A new role is a new row.
struct RoleRow {
  Role role;
  std::string_view name;         ///< "attention_q", as recipes, manifests and messages say it
  std::string_view module = "";  ///< of weights in the language model's layers: "self_attn.q_proj", Hugging Face's name
  bool vision = false;           ///< whether the visual tower has it
  bool has_rules = false;        ///< whether a recipe's rules may choose its encoding
  double sensitivity = 1;        ///< what a matrix's relative error counts, in units of a query projection's: the KL
                                 ///< divergence that it causes, measured on a trained model one role at a time
  std::optional<Role> reads_input_of = std::nullopt;  ///< the role that reads the same input and is asked first
};

/// All roles, in the order of the enumeration.
std::span<const RoleRow> roles();
const RoleRow& row_of(Role role);

inline bool is_vision(Role role) {
  return row_of(role).vision;
}
inline std::string_view name_of(Role role) {
  return row_of(role).name;
}
/// Whether its weights lie in the layers of the language model.
inline bool in_layers(Role role) {
  return !row_of(role).module.empty();
}

}  // namespace q3vl
