#include "graph/graph.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/host_tensor.h"
#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

template <class T>
std::vector<std::byte> bytes_of(std::span<const T> values) {
  const auto bytes = std::as_bytes(values);
  return {bytes.begin(), bytes.end()};
}

}  // namespace

Attributes& Attributes::add(std::string_view name, Attribute::Payload value) {
  Attribute& attribute = all_.emplace_back();
  attribute.name = name;
  attribute.value = std::move(value);
  return *this;
}

std::shared_ptr<Graph> Graph::subgraph(std::string name) {
  return std::shared_ptr<Graph>(new Graph(std::move(name), root_));
}

std::string Graph::unique(const std::string& wanted) {
  std::string name = wanted;
  for (int i = 1; !root_->names_.insert(name).second; ++i) name = fmt::format("{}_{}", wanted, i);
  return name;
}

Value Graph::input(const std::string& name, DataType type, Dims dims) {
  inputs_.push_back({unique(name), type, std::move(dims)});
  return {inputs_.back().name, type};
}

Value Graph::sequence_input(const std::string& name, DataType type) {
  inputs_.push_back({.name = unique(name), .type = type, .dims = {}, .sequence = true});
  return {inputs_.back().name, type};
}

void Graph::output(const std::string& name, const Value& value, Dims dims) {
  const std::string final_name = unique(name);
  if (final_name != name)
    throw Error(ErrorKind::internal, fmt::format("graph {}: the output name {} is taken", name_, name));
  bool produced = false;
  for (const std::size_t index : nodes_with_[value.name]) {
    Node& node = nodes_[index];
    produced = produced || std::ranges::find(node.outputs, value.name) != node.outputs.end();
    std::ranges::replace(node.outputs, value.name, name);
    std::ranges::replace(node.inputs, value.name, name);
  }
  if (!produced) throw Error(ErrorKind::internal, fmt::format("graph {}: no node makes the output {}", name_, name));
  outputs_.push_back({name, value.type, std::move(dims)});
}

void Graph::sequence_output(const Value& value) {
  outputs_.push_back({.name = value.name, .type = value.type, .dims = {}, .sequence = true});
}

std::vector<Value> Graph::emit_some(const Scope& scope, std::string_view op_type, const std::vector<Value>& inputs,
                                    const std::vector<DataType>& types, const std::vector<bool>& wanted,
                                    const Attributes& attributes, std::string_view domain) {
  Node node{.name = unique(fmt::format("{}/{}", scope.path(), op_type)),
            .op_type = std::string(op_type),
            .domain = std::string(domain),
            .inputs = {},
            .outputs = {},
            .attributes = attributes.all()};
  for (const Value& input : inputs) node.inputs.push_back(input.name);
  while (!node.inputs.empty() && node.inputs.back().empty()) node.inputs.pop_back();
  std::vector<Value> outputs;
  for (std::size_t i = 0; i < types.size(); ++i) {
    outputs.push_back({wanted[i] ? unique(fmt::format("{}/output_{}", node.name, i)) : "", types[i]});
    node.outputs.push_back(outputs.back().name);
  }
  for (const auto* names : {&node.inputs, &node.outputs})
    for (const std::string& value : *names)
      if (!value.empty()) nodes_with_[value].push_back(nodes_.size());
  nodes_.push_back(std::move(node));
  return outputs;
}

std::vector<Value> Graph::emit_many(const Scope& scope, std::string_view op_type, const std::vector<Value>& inputs,
                                    const std::vector<DataType>& types, const Attributes& attributes,
                                    std::string_view domain) {
  return emit_some(scope, op_type, inputs, types, std::vector<bool>(types.size(), true), attributes, domain);
}

Value Graph::emit(const Scope& scope, std::string_view op_type, const std::vector<Value>& inputs, DataType type,
                  const Attributes& attributes, std::string_view domain) {
  return emit_many(scope, op_type, inputs, {type}, attributes, domain).front();
}

Value Graph::constant(std::string name, DataType type, Shape shape, std::vector<std::byte> bytes) {
  auto& all = root_->constants_;
  if (const auto known = root_->constant_places_.find(name); known != root_->constant_places_.end()) {
    const Constant& same = all[known->second];
    if (same.type == type && same.shape == shape && same.bytes == bytes) return {same.name, type};
  }
  all.push_back({unique(name), type, std::move(shape), std::move(bytes)});
  root_->constant_places_.try_emplace(all.back().name, all.size() - 1);
  return {all.back().name, type};
}

Value Graph::integers(std::vector<std::int64_t> values) {
  const auto size = static_cast<std::int64_t>(values.size());
  return constant(fmt::format("constant/[{}]", fmt::join(values, ",")), DataType::int64, {size},
                  bytes_of(std::span<const std::int64_t>(values)));
}

Value Graph::scalar(std::int64_t value) {
  return constant(fmt::format("constant/{}", value), DataType::int64, {},
                  bytes_of(std::span<const std::int64_t>(&value, 1)));
}

Value Graph::floats(const std::string& name, Shape shape, std::span<const float> values, DataType type) {
  HostTensor tensor = HostTensor::of(std::move(shape), values).to(type);
  return constant(name, type, std::move(tensor.shape), std::move(tensor.bytes));
}

Value Graph::float_scalar(float value, DataType type) {
  const std::string suffix = type == DataType::float32 ? "f" : fmt::format(" {}", name_of(type));
  return floats(fmt::format("constant/{:.9g}{}", value, suffix), {}, std::span<const float>(&value, 1), type);
}

Value Graph::byte_scalar(std::uint8_t value) {
  return constant(fmt::format("constant/{}b", value), DataType::uint8, {}, {std::byte{value}});
}

Value Graph::weight(const std::string& name, DataType type, Shape shape, const std::string& blob) {
  if (const auto place = root_->weight_places_.find(name); place != root_->weight_places_.end()) {
    const WeightInitializer& known = root_->weights_[place->second];
    if (known.blob != blob || known.type != type || known.shape != shape)
      throw Error(ErrorKind::internal,
                  fmt::format("graph {}: the initializer {} is made in two ways", root_->name_, name));
    return {name, type};
  }
  root_->weight_places_.emplace(name, root_->weights_.size());
  root_->weights_.push_back({unique(name), type, std::move(shape), blob});
  return {name, type};
}

}  // namespace q3vl
