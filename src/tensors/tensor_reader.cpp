#include "tensors/tensor_reader.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "qwen3vl_export/error.h"

namespace q3vl {

at::ScalarType torch_type(DataType type) {
  switch (type) {
    case DataType::float32:
      return at::kFloat;
    case DataType::float16:
      return at::kHalf;
    case DataType::bfloat16:
      return at::kBFloat16;
    case DataType::float64:
      return at::kDouble;
    case DataType::int64:
      return at::kLong;
    case DataType::int32:
      return at::kInt;
    case DataType::int16:
      return at::kShort;
    case DataType::int8:
      return at::kChar;
    case DataType::uint8:
      return at::kByte;
    case DataType::boolean:
      return at::kBool;
    default:
      throw Error(ErrorKind::unsupported, fmt::format("LibTorch has no type for {}", name_of(type)));
  }
}

at::Tensor read_tensor(const Checkpoint& checkpoint, const std::string& name) {
  const TensorInfo* info = checkpoint.find(name);
  if (!info)
    throw Error(ErrorKind::bad_input,
                fmt::format("{}: the tensor \"{}\" is missing", checkpoint.folder().string(), name));
  at::Tensor tensor = at::empty(info->shape, at::TensorOptions(torch_type(info->type)));
  checkpoint.shards()[info->shard].read_at(info->offset, {static_cast<std::byte*>(tensor.data_ptr()), info->bytes});
  return tensor;
}

}  // namespace q3vl
