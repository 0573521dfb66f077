// The two ways in which weights enter LibTorch: block by block for the export, whole for the reference.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <torch/csrc/api/include/torch/version.h>

#include <algorithm>

#include "checkpoint/tensor_reader.h"
#include "checkpoint/weight_source.h"
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

struct WeightBlock::Tensors {
  at::Tensor pool;     // bytes, grown to the largest block so far
  at::Tensor stored;   // over the pool, in the stored type
  at::Tensor widened;  // float32; the same tensor when that is the stored type
};

WeightBlock::WeightBlock() : tensors_(std::make_unique<Tensors>()) {}
WeightBlock::~WeightBlock() = default;
WeightBlock::WeightBlock(WeightBlock&&) noexcept = default;
WeightBlock& WeightBlock::operator=(WeightBlock&&) noexcept = default;

void WeightBlock::read(const Checkpoint& checkpoint, const TensorInfo& tensor, std::int64_t row_elements,
                       std::int64_t begin, std::int64_t end) {
  const auto element = static_cast<std::int64_t>(size_of(tensor.type));
  const std::int64_t bytes = (end - begin) * row_elements * element;
  Tensors& t = *tensors_;
  if (!t.pool.defined() || t.pool.numel() < bytes) t.pool = at::empty({bytes}, at::kByte);
  t.stored = at::from_blob(t.pool.data_ptr(), {end - begin, row_elements}, at::TensorOptions(torch_type(tensor.type)));
  t.widened = at::Tensor();
  const auto offset = tensor.offset + static_cast<std::uint64_t>(begin * row_elements * element);
  checkpoint.shards()[tensor.shard].read_at(
      offset, {static_cast<std::byte*>(t.pool.data_ptr()), static_cast<std::size_t>(bytes)});
}

std::span<const std::byte> WeightBlock::stored() const {
  return {static_cast<const std::byte*>(tensors_->stored.data_ptr()), tensors_->stored.nbytes()};
}

std::span<const float> WeightBlock::float32() {
  Tensors& t = *tensors_;
  if (!t.widened.defined()) t.widened = t.stored.to(at::kFloat);
  return {t.widened.data_ptr<float>(), static_cast<std::size_t>(t.widened.numel())};
}

std::int64_t WeightBlock::nonfinite_count() const {
  // All exponent bits set: infinity or NaN, in each of the three types.
  const auto count = [&]<class Bits>(Bits exponent) {
    const auto* bits = static_cast<const Bits*>(tensors_->stored.data_ptr());
    return std::count_if(bits, bits + tensors_->stored.numel(),
                         [=](Bits value) { return (value & exponent) == exponent; });
  };
  switch (tensors_->stored.scalar_type()) {
    case at::kBFloat16:
      return count(std::uint16_t{0x7f80});
    case at::kHalf:
      return count(std::uint16_t{0x7c00});
    default:
      return count(std::uint32_t{0x7f800000});
  }
}

std::string libtorch_version() {
  return TORCH_VERSION;
}

void use_single_threaded_tensors() {
  at::set_num_threads(1);
}

}  // namespace q3vl
