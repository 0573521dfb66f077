#include "quant/role.h"

#include <array>

namespace q3vl {
namespace {

constexpr std::array kRoles = {
    RoleRow{.role = Role::attention_q, .name = "attention_q", .module = "self_attn.q_proj", .has_rules = true},
    RoleRow{.role = Role::attention_k,
            .name = "attention_k",
            .module = "self_attn.k_proj",
            .has_rules = true,
            .reads_input_of = Role::attention_q},
    RoleRow{.role = Role::attention_v,
            .name = "attention_v",
            .module = "self_attn.v_proj",
            .has_rules = true,
            .sensitivity = 4,
            .reads_input_of = Role::attention_q},
    RoleRow{.role = Role::attention_o,
            .name = "attention_o",
            .module = "self_attn.o_proj",
            .has_rules = true,
            .sensitivity = 2},
    RoleRow{.role = Role::mlp_gate, .name = "mlp_gate", .module = "mlp.gate_proj", .has_rules = true, .sensitivity = 3},
    RoleRow{.role = Role::mlp_up,
            .name = "mlp_up",
            .module = "mlp.up_proj",
            .has_rules = true,
            .sensitivity = 2,
            .reads_input_of = Role::mlp_gate},
    RoleRow{.role = Role::mlp_down, .name = "mlp_down", .module = "mlp.down_proj", .has_rules = true, .sensitivity = 4},
    RoleRow{.role = Role::lm_head, .name = "lm_head", .has_rules = true, .sensitivity = 8},
    RoleRow{.role = Role::embedding, .name = "embedding", .has_rules = true, .sensitivity = 8},
    RoleRow{.role = Role::norm, .name = "norm"},
    RoleRow{.role = Role::value_norms, .name = "value_norms"},
    RoleRow{.role = Role::vision_patch_embed, .name = "vision_patch_embed", .vision = true},
    RoleRow{.role = Role::vision_qkv, .name = "vision_qkv", .vision = true, .has_rules = true},
    RoleRow{.role = Role::vision_proj, .name = "vision_proj", .vision = true, .has_rules = true},
    RoleRow{.role = Role::vision_fc1, .name = "vision_fc1", .vision = true, .has_rules = true},
    RoleRow{.role = Role::vision_fc2, .name = "vision_fc2", .vision = true, .has_rules = true},
    RoleRow{.role = Role::vision_merger, .name = "vision_merger", .vision = true, .has_rules = true},
    RoleRow{.role = Role::vision_vector, .name = "vision_vector", .vision = true},
    RoleRow{.role = Role::vision_table, .name = "vision_table", .vision = true},
};

static_assert(
    [] {
      for (std::size_t i = 0; i < kRoles.size(); ++i)
        if (kRoles[i].role != static_cast<Role>(i)) return false;
      return kRoles.back().role == Role::vision_table;
    }(),
    "the rows stand in the order of the enumeration, and all of them are there");

}  // namespace

std::span<const RoleRow> roles() {
  return kRoles;
}

const RoleRow& row_of(Role role) {
  return kRoles.at(static_cast<std::size_t>(role));
}

}  // namespace q3vl
