// The weights of a package in float32, for the reference.
#pragma once

#include <filesystem>
#include <vector>

#include "backend/tensor_backend.h"
#include "data/data_layout.h"
#include "quant/role.h"
#include "verify/measure.h"

namespace q3vl {

/// What the package's own bytes stand for: quantised weights dequantised, others widened. Places and encodings
/// are those of `layout`; a weight that the package holds in two encodings is taken in `preferred`, and one whose
/// values it does not hold from the checkpoint. All arguments must outlive the result. Reading throws Error(bad_input).
ReferenceWeights package_weights(const DataLayout& layout, const Checkpoint& checkpoint,
                                 const std::filesystem::path& package, const Encoding& preferred, int threads);

/// How near the package's quantised weights, dequantised, are to the checkpoint's. Throws Error(bad_input).
Likeness quantized_weights(const DataLayout& layout, const Checkpoint& checkpoint, const std::filesystem::path& package,
                           int threads);

}  // namespace q3vl
