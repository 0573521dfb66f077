#include "base/host_tensor.h"

#include <fmt/format.h>

#include "base/half.h"
#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

std::uint16_t half_at(const HostTensor& tensor, std::size_t index) {
  std::uint16_t bits = 0;
  std::memcpy(&bits, tensor.bytes.data() + 2 * index, sizeof(bits));
  return bits;
}

}  // namespace

HostTensor HostTensor::zeros(DataType type, Shape shape) {
  const auto count = static_cast<std::size_t>(element_count(shape));
  return {type, std::move(shape), std::vector<std::byte>(count * size_of(type))};
}

std::vector<float> HostTensor::to_float32() const {
  std::vector<float> result(bytes.size() / size_of(type));
  switch (type) {
    case DataType::float32:
      std::memcpy(result.data(), bytes.data(), bytes.size());
      break;
    case DataType::float16:
      for (std::size_t i = 0; i < result.size(); ++i) result[i] = float16_to_float32(half_at(*this, i));
      break;
    case DataType::bfloat16:
      for (std::size_t i = 0; i < result.size(); ++i) result[i] = bfloat16_to_float32(half_at(*this, i));
      break;
    default:
      throw Error(ErrorKind::internal, fmt::format("a {} tensor is not one of floating-point numbers", name_of(type)));
  }
  return result;
}

HostTensor HostTensor::to(DataType wanted) const {
  if (wanted == type) return *this;
  const std::vector<float> floats = to_float32();
  HostTensor result = zeros(wanted, shape);
  switch (wanted) {
    case DataType::float32:
      std::memcpy(result.bytes.data(), floats.data(), result.bytes.size());
      break;
    case DataType::float16:
    case DataType::bfloat16:
      for (std::size_t i = 0; i < floats.size(); ++i) {
        const std::uint16_t bits =
            wanted == DataType::float16 ? float32_to_float16(floats[i]) : float32_to_bfloat16(floats[i]);
        std::memcpy(result.bytes.data() + 2 * i, &bits, sizeof(bits));
      }
      break;
    default:
      throw Error(ErrorKind::internal, fmt::format("numbers are not converted to {} here", name_of(wanted)));
  }
  return result;
}

void HostTensor::expect_type(DataType wanted) const {
  if (type != wanted)
    throw Error(ErrorKind::internal, fmt::format("a {} tensor is read as {}", name_of(type), name_of(wanted)));
}

void HostTensor::expect_count(std::size_t count) const {
  if (bytes.size() != count * size_of(type))
    throw Error(ErrorKind::internal, fmt::format("{} values for a tensor of shape {}", count, to_string(shape)));
}

}  // namespace q3vl
