#include "quant/weight_requests.h"

#include <fmt/format.h>

#include "qwen3vl_export/error.h"

namespace q3vl {

std::string WeightRequest::blob(std::size_t index) const {
  return fmt::format("{}|{}|{}", name, to_string(encoding), index);
}

const WeightRequest& WeightRequests::request(const std::string& name, const Shape& shape, const WeightUse& use,
                                             const std::string& balanced_by) {
  if (!bound_.insert({name, use.role}).second)
    throw Error(ErrorKind::internal, fmt::format("the weight {} is bound twice as {}", name, name_of(use.role)));
  const Encoding encoding = policy_(use);
  const std::string key = name + "|" + to_string(encoding);
  if (const auto known = requests_.find(key); known != requests_.end()) return known->second;

  const auto stored = lookup_(name);
  if (names_.insert(name).second) {
    using Kind = WeightFault::Kind;
    if (!stored)
      faults_.push_back({Kind::missing, name, fmt::format("\"{}\" {} is missing", name, to_string(shape))});
    else if (stored->shape != shape)
      faults_.push_back({Kind::shape, name,
                         fmt::format("\"{}\" has shape {}, expected {} from config.json", name,
                                     to_string(stored->shape), to_string(shape))});
    else if (!is_weight_type(stored->type))
      faults_.push_back(
          {Kind::type, name,
           fmt::format("\"{}\" is {}, expected bfloat16, float16 or float32", name, name_of(stored->type))});
  }
  const DataType type = stored ? stored->type : DataType::bfloat16;
  const std::int64_t rows = shape.size() == 1 ? 1 : shape.front();
  const std::int64_t columns = element_count(shape) / rows;
  const WeightRequest& request =
      requests_
          .try_emplace(key, WeightRequest{.name = name,
                                          .use = use,
                                          .encoding = encoding,
                                          .stored = type,
                                          .rows = rows,
                                          .columns = columns,
                                          .parts = encoded_parts(encoding, type, rows, columns),
                                          .balanced_by = balanced_by})
          .first->second;
  order_.push_back(&request);
  return request;
}

}  // namespace q3vl
