// Static tensor shapes: known sizes, outermost first.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace q3vl {

using Shape = std::vector<std::int64_t>;

/// The number of elements; 1 for rank 0. Throws Error(bad_input) when a size is negative or the product
/// does not fit into 63 bits.
std::int64_t element_count(const Shape& shape);

/// The same, but nothing where element_count throws.
std::optional<std::int64_t> checked_element_count(const Shape& shape);

/// "[2048, 256]", "[]" for rank 0.
std::string to_string(const Shape& shape);

}  // namespace q3vl
