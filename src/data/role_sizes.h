// What the weights of each role take in a package's data files.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/data_layout.h"

namespace q3vl {

/// The weights of one role that lie in one file in one form.
struct RoleSize {
  Role role;
  Encoding encoding;
  std::vector<DataType> types;  ///< of the arrays that each of them becomes
  std::string file;
  std::int64_t weights;
  std::uint64_t bytes;  ///< without gaps
};

/// In the layout's order. Weights that graphs share are counted where their bytes lie.
std::vector<RoleSize> sizes_by_role(const DataLayout& layout);

}  // namespace q3vl
