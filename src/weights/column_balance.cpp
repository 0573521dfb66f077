#include "weights/column_balance.h"

#include <string>

#include "quant/balance.h"
#include "weights/weight_rows.h"

namespace q3vl {

std::vector<float> column_balance(const Checkpoint& checkpoint, const WeightRequest& request) {
  if (request.balanced_by.empty()) return {};
  const auto values = [&](const std::string& name) { return WeightRows(checkpoint, name).to_float32(1).to_float32(); };
  const std::vector<float> gain = values(request.balanced_by + ".weight");
  if (request.encoding.format == Encoding::Format::row_norms) return gain;
  const std::string bias = request.balanced_by + ".bias";
  return balance_of(gain, checkpoint.find(bias) != nullptr ? values(bias) : std::vector<float>());
}

}  // namespace q3vl
