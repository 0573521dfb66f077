// LibTorch's names of the types that a checkpoint stores.
#pragma once

#include <c10/core/ScalarType.h>
#include <fmt/format.h>

#include "base/data_type.h"
#include "qwen3vl_export/error.h"

namespace q3vl {

/// The LibTorch name of `type`. Throws Error(unsupported) for types that LibTorch lacks.
inline c10::ScalarType torch_type(DataType type) {
  switch (type) {
    case DataType::float32:
      return c10::kFloat;
    case DataType::float16:
      return c10::kHalf;
    case DataType::bfloat16:
      return c10::kBFloat16;
    case DataType::float64:
      return c10::kDouble;
    case DataType::int64:
      return c10::kLong;
    case DataType::int32:
      return c10::kInt;
    case DataType::int16:
      return c10::kShort;
    case DataType::int8:
      return c10::kChar;
    case DataType::uint8:
      return c10::kByte;
    case DataType::boolean:
      return c10::kBool;
    default:
      throw Error(ErrorKind::unsupported, fmt::format("LibTorch has no type for {}", name_of(type)));
  }
}

}  // namespace q3vl
