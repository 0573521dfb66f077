// What a recipe lets the quantisers know of the values that a weight's columns are multiplied by.
#pragma once

#include <functional>
#include <optional>

#include "calibration/calibration_file.h"
#include "pipeline/package_plan.h"
#include "quant/encoder.h"

namespace q3vl {

/// Gives the statistics of one weight: none, from the checkpoint's other weights, or from `calibration`, as the plan's
/// recipe says. `plan` must outlive it; it may be called by several threads at once. It throws Error(bad_input) when
/// what it needs cannot be read.
///
/// From weights: a column of q, k, v, gate, up or the head counts by the square of its RMSNorm gain, since a normed
/// value has the mean square 1 before it; one of o by the mean square of its row of v, one of down by the product of
/// those of its rows of gate and up, each over inputs that are normed the same way. From a calibration: by its second
/// moment there. What w8a8 weights are balanced by comes from the checkpoint's norms in every case.
std::function<InputStatistics(const WeightRequest&)> input_statistics(const PackagePlan& plan,
                                                                      std::optional<Calibration> calibration);

}  // namespace q3vl
