// What a package is made for: one documented row a target.
#pragma once

#include <string_view>

#include "base/data_type.h"

namespace q3vl {

struct TargetProfile {
  std::string_view name;
  std::string_view description;
  /// The type of activations, graph inputs and outputs, and the cache.
  DataType compute_type;
};

/// The row called `name`. Throws Error(usage), listing the known ones.
const TargetProfile& target_profile(std::string_view name);

}  // namespace q3vl
