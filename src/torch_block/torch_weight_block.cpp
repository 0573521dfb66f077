// The entry of qwen3vl-export-c10.so: blocks of weights as LibTorch tensors, over a buffer of LibTorch's allocator that
// is kept from read to read. All of it is in LibTorch's core library, which opens in an instant (decision 5).
#include <c10/core/CPUAllocator.h>
#include <c10/core/ScalarTypeToTypeMeta.h>
#include <c10/core/TensorImpl.h>

#include "backend/weight_blocks.h"
#include "torch_block/torch_type.h"

namespace q3vl {
namespace {

class TorchWeightBlock : public WeightBlock {
 public:
  void read(const WeightRows& weight, std::int64_t begin, std::int64_t end) override {
    const auto bytes = static_cast<std::size_t>(end - begin) * weight.row_bytes();
    if (!pool_ || pool_.nbytes() < bytes)
      pool_ = c10::Storage(c10::Storage::use_byte_size_t(), bytes, c10::GetCPUAllocator());
    rows_ = c10::make_intrusive<c10::TensorImpl>(c10::Storage(pool_), c10::DispatchKeySet(c10::DispatchKey::CPU),
                                                 c10::scalarTypeToTypeMeta(torch_type(weight.type())));
    rows_->set_sizes_contiguous({end - begin, weight.columns()});
    weight.read_once(begin, end, {static_cast<std::byte*>(rows_->data()), bytes});
  }

  std::span<const std::byte> stored() const override {
    return {static_cast<const std::byte*>(rows_->data()), static_cast<std::size_t>(rows_->numel()) * rows_->itemsize()};
  }

 private:
  c10::Storage pool_;                         // grown to the largest block so far
  c10::intrusive_ptr<c10::TensorImpl> rows_;  // [rows, columns] over the pool, in the stored type
};

}  // namespace
}  // namespace q3vl

extern "C" q3vl::WeightBlock* q3vl_weight_block() {
  return new q3vl::TorchWeightBlock();
}
