// The weights of a package and of a checkpoint in float32, for the reference.
#pragma once

#include <filesystem>
#include <vector>

#include "backend/tensor_backend.h"
#include "quant/role.h"
#include "serialize/data_layout.h"
#include "verify/measure.h"

namespace q3vl {

/// The checkpoint's weights, widened exactly; it must outlive the result.
ReferenceWeights checkpoint_weights(const Checkpoint& checkpoint, int threads);

/// What the columns of a weight in w8a8 or row_norms are multiplied by, as many factors as its norm has channels;
/// nothing for one without a norm. Throws Error(bad_input).
std::vector<float> column_balance(const Checkpoint& checkpoint, const WeightRequest& request);

/// What the package's own bytes stand for: quantised weights dequantised, others widened. Places and encodings
/// are those of `layout`; a weight that the package holds in two encodings is taken in `preferred`, and one whose
/// values it does not hold from the checkpoint. All arguments must outlive the result. Reading throws Error(bad_input).
ReferenceWeights package_weights(const DataLayout& layout, const Checkpoint& checkpoint,
                                 const std::filesystem::path& package, const Encoding& preferred, int threads);

/// How near the package's quantised weights, dequantised, are to the checkpoint's. Throws Error(bad_input).
Likeness quantized_weights(const DataLayout& layout, const Checkpoint& checkpoint, const std::filesystem::path& package,
                           int threads);

}  // namespace q3vl
