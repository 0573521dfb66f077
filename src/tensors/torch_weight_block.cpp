#include "tensors/torch_weight_block.h"

#include <ATen/ATen.h>

#include "tensors/tensor_reader.h"

namespace q3vl {
namespace {

class TorchWeightBlock : public WeightBlock {
 public:
  void read(const WeightRows& weight, std::int64_t begin, std::int64_t end) override {
    const std::int64_t bytes = (end - begin) * static_cast<std::int64_t>(weight.row_bytes());
    if (!pool_.defined() || pool_.numel() < bytes) pool_ = at::empty({bytes}, at::kByte);
    stored_ =
        at::from_blob(pool_.data_ptr(), {end - begin, weight.columns()}, at::TensorOptions(torch_type(weight.type())));
    weight.read_once(begin, end, {static_cast<std::byte*>(pool_.data_ptr()), static_cast<std::size_t>(bytes)});
  }

  std::span<const std::byte> stored() const override {
    return {static_cast<const std::byte*>(stored_.data_ptr()), stored_.nbytes()};
  }

 private:
  at::Tensor pool_;    // bytes, grown to the largest block so far
  at::Tensor stored_;  // over the pool, in the stored type
};

}  // namespace

std::unique_ptr<WeightBlock> make_torch_weight_block() {
  return std::make_unique<TorchWeightBlock>();
}

}  // namespace q3vl
