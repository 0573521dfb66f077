#include "onnx/node_shapes.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace q3vl {

OnnxDim known(std::int64_t size) {
  OnnxDim dim;
  dim.set_dim_value(size);
  return dim;
}

std::string to_string(const std::vector<OnnxDim>& dims) {
  std::vector<std::string> parts;
  for (const OnnxDim& dim : dims) {
    if (dim.has_dim_value())
      parts.push_back(std::to_string(dim.dim_value()));
    else
      parts.push_back(dim.has_dim_param() ? dim.dim_param() : "?");
  }
  return fmt::format("[{}]", fmt::join(parts, ", "));
}

bool may_be_equal(const OnnxDim& a, const OnnxDim& b) {
  return !a.has_dim_value() || !b.has_dim_value() || a.dim_value() == b.dim_value();
}

bool NodeShapes::has(std::size_t input) const {
  return input < context_->getNumInputs() && context_->getInputType(input) != nullptr;
}

bool NodeShapes::ranked(std::size_t input) const {
  return has(input) && context_->getInputType(input)->has_tensor_type() &&
         context_->getInputType(input)->tensor_type().has_shape();
}

std::int32_t NodeShapes::type(std::size_t input) const {
  return has(input) ? context_->getInputType(input)->tensor_type().elem_type() : 0;
}

std::vector<OnnxDim> NodeShapes::dims(std::size_t input) const {
  const auto& shape = context_->getInputType(input)->tensor_type().shape();
  return {shape.dim().begin(), shape.dim().end()};
}

std::int64_t NodeShapes::integer(const std::string& name, std::int64_t fallback) const {
  const onnx::AttributeProto* attribute = context_->getAttribute(name);
  return attribute == nullptr ? fallback : attribute->i();
}

std::string NodeShapes::text(const std::string& name, const std::string& fallback) const {
  const onnx::AttributeProto* attribute = context_->getAttribute(name);
  return attribute == nullptr ? fallback : attribute->s();
}

std::int64_t NodeShapes::positive(const std::string& name, std::int64_t fallback) const {
  const std::int64_t value = integer(name, fallback);
  if (value < 1) fail(fmt::format("{} is {}, expected 1 or more", name, value));
  return value;
}

void NodeShapes::expect(std::size_t input, std::string_view name, const std::vector<OnnxDim>& expected,
                        std::string_view layout) const {
  if (!ranked(input)) return;
  const std::vector<OnnxDim> found = dims(input);
  bool equal = found.size() == expected.size();
  for (std::size_t i = 0; equal && i < found.size(); ++i) equal = may_be_equal(found[i], expected[i]);
  if (!equal) fail(fmt::format("{} is {}, expected {}: {}", name, to_string(found), to_string(expected), layout));
}

void NodeShapes::expect_rank(std::size_t input, std::string_view name, int rank, std::string_view layout) const {
  if (!ranked(input) || dims(input).size() == static_cast<std::size_t>(rank)) return;
  fail(fmt::format("{} is {}, expected rank {}: {}", name, to_string(dims(input)), rank, layout));
}

void NodeShapes::expect_both(std::size_t first, std::string_view first_name, std::size_t second,
                             std::string_view second_name) const {
  if (has(first) == has(second)) return;
  fail(fmt::format("{} is given without {}", has(first) ? first_name : second_name,
                   has(first) ? second_name : first_name));
}

void NodeShapes::fail(const std::string& message) const {
  throw onnx::InferenceError(fmt::format("[ShapeInferenceError] {}: {}", op_type_, message));
}

void NodeShapes::output_type(std::size_t output, std::size_t like_input) const {
  if (output < context_->getNumOutputs()) onnx::propagateElemTypeFromInputToOutput(*context_, like_input, output);
}

void NodeShapes::output(std::size_t output, std::size_t like_input, const std::vector<OnnxDim>& dims) const {
  if (output >= context_->getNumOutputs()) return;
  output_type(output, like_input);
  set_shape(output, dims);
}

void NodeShapes::float_output(std::size_t output, const std::vector<OnnxDim>& dims) const {
  if (output >= context_->getNumOutputs()) return;
  onnx::updateOutputElemType(*context_, output, onnx::TensorProto::FLOAT);
  set_shape(output, dims);
}

void NodeShapes::set_shape(std::size_t output, const std::vector<OnnxDim>& dims) const {
  auto* shape = context_->getOutputType(output)->mutable_tensor_type()->mutable_shape();
  shape->clear_dim();
  for (const OnnxDim& dim : dims) *shape->add_dim() = dim;
}

}  // namespace q3vl
