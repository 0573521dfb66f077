// Element types of tensors, as safetensors files and ONNX graphs name them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace q3vl {

enum class DataType {
  float32,
  float16,
  bfloat16,
  float64,
  int64,
  int32,
  int16,
  int8,
  uint8,
  boolean,
  float8_e4m3,
  float8_e5m2
};

/// Bytes of one element.
std::size_t size_of(DataType type);

/// The lower-case name used in messages and manifests: "bfloat16".
std::string_view name_of(DataType type);

/// The type that a safetensors header calls `name` ("BF16"), or nothing for other names; the format has more types.
std::optional<DataType> data_type_from_safetensors(std::string_view name);

/// The names that data_type_from_safetensors knows, for messages: "F32, F16, …".
std::string safetensors_names();

/// The name that a safetensors header uses for `type`.
std::string_view safetensors_name(DataType type);

/// The number by which ONNX's TensorProto.DataType calls `type`; 0 for the types that opset 17 lacks.
std::int32_t onnx_type(DataType type);

/// True for the three types that weights of this model family are stored in.
bool is_weight_type(DataType type);

}  // namespace q3vl
