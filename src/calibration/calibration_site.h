// Where the inputs of matrices are looked at: matrices that read one input share a site, named after the first of them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "config/model_config.h"

namespace q3vl {

/// The site of a weight of a Hugging Face name: that of q_proj for k_proj and v_proj, of gate_proj for up_proj, and the
/// weight's own name otherwise.
std::string calibration_site(const std::string& weight);

struct CalibrationSite {
  std::string name;
  std::int64_t channels;  ///< K: the width of the input
  bool feedback;          ///< has feedback factors, not second moments alone
};

/// All sites of the language model in the order of its layers, the head last. The head never has feedback factors.
std::vector<CalibrationSite> calibration_sites(const TextConfig& config, bool feedback);

}  // namespace q3vl
