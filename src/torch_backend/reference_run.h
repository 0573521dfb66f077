// The reference's forward pass over several prompts, a layer's weights at a time.
#pragma once

#include <vector>

#include "backend/tensor_backend.h"

namespace q3vl {

/// As TensorBackend::image_features.
HostTensor image_features(const ModelConfig& config, const std::vector<Patches>& pictures,
                          const ReferenceWeights& weights);

/// As TensorBackend::run_reference.
std::vector<ReferenceResult> run_reference(const ReferenceRequest& request);

}  // namespace q3vl
