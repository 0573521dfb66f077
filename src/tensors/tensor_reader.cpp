#include "tensors/tensor_reader.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "qwen3vl_export/error.h"
#include "torch_block/torch_type.h"

namespace q3vl {

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
