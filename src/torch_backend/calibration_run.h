// The language model's forward pass over several prompts, watched at the inputs of its matrices.
#pragma once

#include "backend/tensor_backend.h"

namespace q3vl {

/// As TensorBackend::run_calibration.
void run_calibration(const CalibrationRequest& request);

}  // namespace q3vl
