#include "base/shape.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "qwen3vl_export/error.h"

namespace q3vl {

std::optional<std::int64_t> checked_element_count(const Shape& shape) {
  std::int64_t count = 1;
  for (const std::int64_t size : shape)
    if (size < 0 || __builtin_mul_overflow(count, size, &count)) return std::nullopt;
  return count;
}

std::int64_t element_count(const Shape& shape) {
  if (const auto count = checked_element_count(shape)) return *count;
  throw Error(ErrorKind::bad_input,
              fmt::format("shape {} has no element count that fits into 63 bits", to_string(shape)));
}

std::string to_string(const Shape& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

}  // namespace q3vl
