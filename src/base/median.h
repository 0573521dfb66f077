// What to make of repeated measurements.
#pragma once

#include <vector>

namespace q3vl {

/// The middle one of at least one value, or the mean of the two in the middle.
double median(std::vector<double> values);

}  // namespace q3vl
