// A tensor in plain memory: what goes into an ONNX Runtime session and what comes out.
//
//   HostTensor ids = HostTensor::of<std::int64_t>({1, 3}, {7, 8, 9});
//   std::span<const std::int64_t> values = ids.values<std::int64_t>();
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/data_type.h"
#include "base/shape.h"

namespace q3vl {

/// The DataType whose elements are stored as the C++ type T.
template <typename T>
constexpr DataType data_type_of();
template <>
constexpr DataType data_type_of<float>() {
  return DataType::float32;
}
template <>
constexpr DataType data_type_of<std::int64_t>() {
  return DataType::int64;
}
template <>
constexpr DataType data_type_of<std::int32_t>() {
  return DataType::int32;
}
template <>
constexpr DataType data_type_of<std::uint8_t>() {
  return DataType::uint8;
}

struct HostTensor {
  DataType type = DataType::float32;
  Shape shape;
  std::vector<std::byte> bytes;  ///< row-major

  /// A tensor of zeros.
  static HostTensor zeros(DataType type, Shape shape);

  /// A tensor with a copy of `values`, which must be as many as `shape` says.
  template <typename T>
  static HostTensor of(Shape shape, std::span<const T> values) {
    HostTensor tensor = zeros(data_type_of<T>(), std::move(shape));
    tensor.expect_count(values.size());
    std::memcpy(tensor.bytes.data(), values.data(), values.size_bytes());
    return tensor;
  }
  template <typename T>
  static HostTensor of(Shape shape, const std::vector<T>& values) {
    return of(std::move(shape), std::span<const T>(values));
  }

  /// The elements as T. Throws Error(internal) when the tensor has another type.
  template <typename T>
  std::span<const T> values() const {
    expect_type(data_type_of<T>());
    return {reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T)};
  }
  template <typename T>
  std::span<T> values() {
    expect_type(data_type_of<T>());
    return {reinterpret_cast<T*>(bytes.data()), bytes.size() / sizeof(T)};
  }

  /// The elements of a float32, float16 or bfloat16 tensor. Throws Error(internal) for other types.
  std::vector<float> to_float32() const;

  /// The same values stored as `wanted`, both among float32, float16 and bfloat16.
  HostTensor to(DataType wanted) const;

 private:
  void expect_type(DataType wanted) const;
  void expect_count(std::size_t count) const;
};

/// Tensors by the names of a graph's inputs or outputs.
using NamedTensors = std::map<std::string, HostTensor>;

}  // namespace q3vl
