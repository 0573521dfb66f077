#include "quant/weight_requests.h"

#include <fmt/format.h>

#include "qwen3vl_export/error.h"

namespace q3vl {

std::string WeightRequest::blob(std::size_t index) const {
  return fmt::format("{}|{}|{}", name, to_string(encoding), index);
}

const WeightRequest& WeightRequests::request(const std::string& name, const Shape& shape, Role role) {
  if (!bound_.insert({name, role}).second)
    throw Error(ErrorKind::internal, fmt::format("the weight {} is bound twice as {}", name, name_of(role)));
  const Encoding encoding = policy_(role);
  const auto [place, is_new] = requests_.try_emplace(name + "|" + to_string(encoding));
  WeightRequest& request = place->second;
  if (!is_new) return request;

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
  request.name = name;
  request.role = role;
  request.encoding = encoding;
  request.stored = stored ? stored->type : DataType::bfloat16;
  request.rows = shape.size() == 1 ? 1 : shape.front();
  request.columns = element_count(shape) / request.rows;
  request.parts = encoded_parts(encoding, request.stored, request.rows, request.columns);
  order_.push_back(&request);
  return request;
}

}  // namespace q3vl
