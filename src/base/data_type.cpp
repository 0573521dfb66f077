#include "base/data_type.h"

#include <array>

#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

struct Row {
  DataType type;
  std::size_t bytes;
  std::string_view name;
  std::string_view safetensors;
  std::int32_t onnx;
};

constexpr std::array kTypes = {
    Row{DataType::float32, 4, "float32", "F32", 1},
    Row{DataType::float16, 2, "float16", "F16", 10},
    Row{DataType::bfloat16, 2, "bfloat16", "BF16", 16},
    Row{DataType::float64, 8, "float64", "F64", 11},
    Row{DataType::int64, 8, "int64", "I64", 7},
    Row{DataType::int32, 4, "int32", "I32", 6},
    Row{DataType::int16, 2, "int16", "I16", 5},
    Row{DataType::int8, 1, "int8", "I8", 3},
    Row{DataType::uint8, 1, "uint8", "U8", 2},
    Row{DataType::boolean, 1, "bool", "BOOL", 9},
    Row{DataType::float8_e4m3, 1, "float8_e4m3", "F8_E4M3", 0},
    Row{DataType::float8_e5m2, 1, "float8_e5m2", "F8_E5M2", 0},
};

const Row& row_of(DataType type) {
  for (const Row& row : kTypes)
    if (row.type == type) return row;
  throw Error(ErrorKind::internal, "data type without a row in the table");
}

}  // namespace

std::size_t size_of(DataType type) {
  return row_of(type).bytes;
}
std::string_view name_of(DataType type) {
  return row_of(type).name;
}
std::int32_t onnx_type(DataType type) {
  return row_of(type).onnx;
}
std::string_view safetensors_name(DataType type) {
  return row_of(type).safetensors;
}

std::optional<DataType> data_type_from_safetensors(std::string_view name) {
  for (const Row& row : kTypes)
    if (row.safetensors == name) return row.type;
  return std::nullopt;
}

std::string safetensors_names() {
  std::string names;
  for (const Row& row : kTypes) names.append(names.empty() ? "" : ", ").append(row.safetensors);
  return names;
}

bool is_weight_type(DataType type) {
  return type == DataType::float32 || type == DataType::float16 || type == DataType::bfloat16;
}

}  // namespace q3vl
