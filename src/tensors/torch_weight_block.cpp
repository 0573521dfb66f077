#include "tensors/torch_weight_block.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "tensors/tensor_reader.h"

namespace q3vl {
namespace {

class TorchWeightBlock : public WeightBlock {
 public:
  void read(const Checkpoint& checkpoint, const TensorInfo& tensor, std::int64_t row_elements, std::int64_t begin,
            std::int64_t end) override {
    const auto element = static_cast<std::int64_t>(size_of(tensor.type));
    const std::int64_t bytes = (end - begin) * row_elements * element;
    if (!pool_.defined() || pool_.numel() < bytes) pool_ = at::empty({bytes}, at::kByte);
    stored_ = at::from_blob(pool_.data_ptr(), {end - begin, row_elements}, at::TensorOptions(torch_type(tensor.type)));
    widened_ = at::Tensor();
    const auto offset = tensor.offset + static_cast<std::uint64_t>(begin * row_elements * element);
    checkpoint.shards()[tensor.shard].read_at(
        offset, {static_cast<std::byte*>(pool_.data_ptr()), static_cast<std::size_t>(bytes)});
  }

  std::span<const std::byte> stored() const override {
    return {static_cast<const std::byte*>(stored_.data_ptr()), stored_.nbytes()};
  }

  std::span<const float> float32() override {
    if (!widened_.defined()) widened_ = stored_.to(at::kFloat);
    return {widened_.data_ptr<float>(), static_cast<std::size_t>(widened_.numel())};
  }

  std::int64_t nonfinite_count() const override {
    // All exponent bits set: infinity or NaN, in each of the three types.
    const auto count = [&]<class Bits>(Bits exponent) {
      const auto* bits = static_cast<const Bits*>(stored_.data_ptr());
      return std::count_if(bits, bits + stored_.numel(), [=](Bits value) { return (value & exponent) == exponent; });
    };
    switch (stored_.scalar_type()) {
      case at::kBFloat16:
        return count(std::uint16_t{0x7f80});
      case at::kHalf:
        return count(std::uint16_t{0x7c00});
      default:
        return count(std::uint32_t{0x7f800000});
    }
  }

 private:
  at::Tensor pool_;     // bytes, grown to the largest block so far
  at::Tensor stored_;   // over the pool, in the stored type
  at::Tensor widened_;  // float32; the same tensor when that is the stored type
};

}  // namespace

std::unique_ptr<WeightBlock> make_torch_weight_block() {
  return std::make_unique<TorchWeightBlock>();
}

}  // namespace q3vl
