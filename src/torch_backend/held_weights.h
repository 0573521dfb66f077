// The weights of the layer at work, as LibTorch tensors.
#pragma once

#include <ATen/ATen.h>

#include <map>
#include <memory>
#include <string>

#include "backend/tensor_backend.h"
#include "reference/weights.h"
#include "tensors/tensor_reader.h"
#include "torch_block/torch_type.h"

namespace q3vl {

/// A view of a tensor in plain memory, which must outlive it.
inline at::Tensor view_of(HostTensor& tensor) {
  return at::from_blob(tensor.bytes.data(), tensor.shape, at::TensorOptions(torch_type(tensor.type)));
}

/// A copy of a tensor's values in float32.
inline HostTensor to_host(const at::Tensor& tensor) {
  const at::Tensor values = tensor.to(at::kFloat).contiguous();
  return HostTensor::of<float>({values.sizes().begin(), values.sizes().end()},
                               {values.data_ptr<float>(), static_cast<std::size_t>(values.numel())});
}

/// A provider that asks for each weight once, until it is told to let go.
class HeldWeights {
 public:
  explicit HeldWeights(const ReferenceWeights& source) : source_(source) {}

  at::Tensor operator()(const std::string& name) {
    const auto [place, is_new] = held_.try_emplace(name);
    if (is_new) {
      auto owner = std::make_shared<HostTensor>(source_(name));
      place->second = at::from_blob(
          owner->bytes.data(), owner->shape, [owner](void*) {}, at::TensorOptions(torch_type(owner->type)));
    }
    return place->second;
  }

  /// As the reference takes its weights; this must outlive the result.
  reference::WeightProvider provider() {
    return [this](const std::string& name) { return (*this)(name); };
  }

  void release() { held_.clear(); }

 private:
  const ReferenceWeights& source_;
  std::map<std::string, at::Tensor> held_;
};

}  // namespace q3vl
