#include "weights/weight_rows.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/parallel.h"
#include "kernels/convert.h"
#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

constexpr std::uint64_t kBlockBytes = 4U << 20;

const TensorInfo* tensor_of(const Checkpoint& checkpoint, const std::string& name) {
  const TensorInfo* tensor = checkpoint.find(name);
  if (tensor == nullptr)
    throw Error(ErrorKind::bad_input,
                fmt::format("{}: the tensor \"{}\" is missing", checkpoint.folder().string(), name));
  return tensor;
}

/// The rows that a block holds, at least one.
std::int64_t rows_in_block(const WeightRows& weight) {
  return std::max<std::int64_t>(
      1, static_cast<std::int64_t>(kBlockBytes / std::max<std::uint64_t>(1, weight.row_bytes())));
}

}  // namespace

WeightRows::WeightRows(const Checkpoint& checkpoint, const std::string& name)
    : tensor_(tensor_of(checkpoint, name)),
      file_(&checkpoint.shards()[tensor_->shard]),
      rows_(tensor_->shape.size() > 1 ? tensor_->shape.front() : 1),
      columns_(rows_ == 0 ? 0 : element_count(tensor_->shape) / rows_) {}

void WeightRows::read(std::int64_t begin, std::int64_t end, std::span<std::byte> into) const {
  file_->read_at(tensor_->offset + static_cast<std::uint64_t>(begin) * row_bytes(),
                 into.first(static_cast<std::uint64_t>(end - begin) * row_bytes()));
}

void WeightRows::read_once(std::int64_t begin, std::int64_t end, std::span<std::byte> into) const {
  file_->read_once_at(tensor_->offset + static_cast<std::uint64_t>(begin) * row_bytes(),
                      into.first(static_cast<std::uint64_t>(end - begin) * row_bytes()));
}

void WeightRows::read_float32(std::int64_t begin, std::int64_t end, std::span<float> into) const {
  std::vector<std::byte> stored(static_cast<std::uint64_t>(end - begin) * row_bytes());
  read(begin, end, stored);
  widen_to_float32(type(), stored, into.data());
}

HostTensor WeightRows::to_float32(int threads) const {
  HostTensor tensor = HostTensor::zeros(DataType::float32, shape());
  const std::span<float> values = tensor.values<float>();
  const std::int64_t block = rows_in_block(*this);
  parallel_for(static_cast<std::size_t>((rows_ + block - 1) / block), threads, [&](std::size_t index) {
    const std::int64_t begin = static_cast<std::int64_t>(index) * block;
    const std::int64_t end = std::min(begin + block, rows_);
    read_float32(begin, end, values.subspan(static_cast<std::size_t>(begin * columns_)));
  });
  return tensor;
}

bool equal_weights(const WeightRows& a, const WeightRows& b) {
  if (a.shape() != b.shape()) return false;
  std::vector<float> values_a;
  std::vector<float> values_b;
  const std::int64_t block = rows_in_block(a);
  for (std::int64_t begin = 0; begin < a.rows(); begin += block) {
    throw_if_interrupted();
    const std::int64_t end = std::min(begin + block, a.rows());
    values_a.resize(static_cast<std::size_t>((end - begin) * a.columns()));
    values_b.resize(values_a.size());
    a.read_float32(begin, end, values_a);
    b.read_float32(begin, end, values_b);
    // Bits are compared, not numbers: a NaN differs from every number, itself included.
    if (std::memcmp(values_a.data(), values_b.data(), values_a.size() * sizeof(float)) != 0) return false;
  }
  return true;
}

std::function<HostTensor(const std::string& name)> checkpoint_weights(const Checkpoint& checkpoint, int threads) {
  return [&checkpoint, threads](const std::string& name) { return WeightRows(checkpoint, name).to_float32(threads); };
}

}  // namespace q3vl
