// What the columns of a weight are multiplied by before it is encoded.
#pragma once

#include <vector>

#include "checkpoint/checkpoint.h"
#include "quant/weight_requests.h"

namespace q3vl {

/// The factors of the columns of a weight in w8a8 or row_norms, as many as its norm has channels; empty for a weight
/// without a norm. w8a8: balance_of() the norm (quant/balance.h); row_norms: its gains. Throws Error(bad_input).
std::vector<float> column_balance(const Checkpoint& checkpoint, const WeightRequest& request);

}  // namespace q3vl
