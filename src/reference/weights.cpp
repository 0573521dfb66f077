#include "reference/weights.h"

#include <ATen/ATen.h>

#include "tensors/tensor_reader.h"

namespace q3vl::reference {

WeightProvider checkpoint_weights(const Checkpoint& checkpoint) {
  return [&checkpoint](const std::string& name) { return read_tensor(checkpoint, name).to(at::kFloat); };
}

}  // namespace q3vl::reference
