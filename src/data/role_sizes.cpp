#include "data/role_sizes.h"

#include <algorithm>

namespace q3vl {

std::vector<RoleSize> sizes_by_role(const DataLayout& layout) {
  std::vector<RoleSize> sizes;
  for (const PlacedWeight& placed : layout.weights()) {
    const WeightRequest& request = *placed.request;
    RoleSize row{.role = request.use.role,
                 .encoding = request.encoding,
                 .types = {},
                 .file = placed.file,
                 .weights = 0,
                 .bytes = 0};
    std::uint64_t bytes = 0;
    for (const EncodedPart& part : request.parts) {
      row.types.push_back(part.type);
      bytes += part.row_bytes * static_cast<std::uint64_t>(request.rows);
    }
    auto found = std::find_if(sizes.begin(), sizes.end(), [&](const RoleSize& size) {
      return size.role == row.role && size.encoding == row.encoding && size.types == row.types && size.file == row.file;
    });
    if (found == sizes.end()) found = sizes.insert(sizes.end(), std::move(row));
    ++found->weights;
    found->bytes += bytes;
  }
  return sizes;
}

}  // namespace q3vl
