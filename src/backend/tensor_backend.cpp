#include "backend/tensor_backend.h"

#include "backend/open_library.h"

namespace q3vl {

const TensorBackend& tensor_backend() {
  using Entry = const TensorBackend* (*)();
  static const TensorBackend& backend =
      *reinterpret_cast<Entry>(open_library("qwen3vl-export-torch.so", kTensorBackendEntry))();
  return backend;
}

}  // namespace q3vl
