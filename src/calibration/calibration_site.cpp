#include "calibration/calibration_site.h"

#include <fmt/format.h>

#include "quant/role.h"

namespace q3vl {

std::string calibration_site(const std::string& weight) {
  const auto ending = [](Role role) { return fmt::format(".{}.weight", row_of(role).module); };
  for (const RoleRow& row : roles())
    if (row.reads_input_of && weight.ends_with(ending(row.role)))
      return weight.substr(0, weight.size() - ending(row.role).size()) + ending(*row.reads_input_of);
  return weight;
}

std::vector<CalibrationSite> calibration_sites(const TextConfig& config, bool feedback) {
  std::vector<CalibrationSite> sites;
  for (std::int64_t layer = 0; layer < config.num_hidden_layers; ++layer) {
    const std::string name = fmt::format("{}.layers.{}", config.module, layer);
    sites.push_back({name + ".self_attn.q_proj.weight", config.hidden_size, feedback});
    sites.push_back({name + ".self_attn.o_proj.weight", config.num_attention_heads * config.head_dim, feedback});
    sites.push_back({name + ".mlp.gate_proj.weight", config.hidden_size, feedback});
    sites.push_back({name + ".mlp.down_proj.weight", config.intermediate_size, feedback});
  }
  sites.push_back({config.head_weight(), config.hidden_size, false});
  return sites;
}

}  // namespace q3vl
