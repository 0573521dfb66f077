#include "onnx/model_probe.h"

#include <fmt/format.h>
#include <onnx/onnx_pb.h>

#include <algorithm>
#include <set>

#include "onnx/model_file.h"
#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

void add_attribute(onnx::NodeProto& node, const char* name, std::int64_t value) {
  onnx::AttributeProto& attribute = *node.add_attribute();
  attribute.set_name(name);
  attribute.set_type(onnx::AttributeProto::INT);
  attribute.set_i(value);
}

onnx::NodeProto make_node(const std::string& name, const char* op_type, const std::vector<std::string>& inputs,
                          const std::string& output) {
  onnx::NodeProto node;
  node.set_name(name);
  node.set_op_type(op_type);
  for (const std::string& input : inputs) node.add_input(input);
  node.add_output(output);
  return node;
}

/// A QGemm of this program: codes of a QuantizeLinear, 1, 128, the weights, their scales and zero points. The Mul that
/// gives each row its scale follows it.
void multiply_floats(const onnx::GraphProto& graph, const onnx::NodeProto& product, const std::string& model,
                     std::vector<onnx::NodeProto>& into) {
  const std::string& codes = input_of(product, 0, model);
  const std::string& result = output_of(product, 0, model);
  const auto quantize = std::find_if(graph.node().begin(), graph.node().end(), [&](const auto& node) {
    return node.op_type() == "QuantizeLinear" && output_of(node, 0, model) == codes;
  });
  if (quantize == graph.node().end() || product.input_size() != 6)
    throw Error(ErrorKind::bad_input, fmt::format("{}: {} multiplies something else than what a QuantizeLinear gives",
                                                  model, product.name()));
  const std::string weights = result + "/weights";
  into.push_back(make_node(product.name() + "/weights", "DequantizeLinear",
                           {product.input(3), product.input(4), product.input(5)}, weights));
  add_attribute(into.back(), "axis", 0);
  into.push_back(make_node(product.name(), "Gemm", {input_of(*quantize, 0, model), weights}, result));
  add_attribute(into.back(), "transB", 1);
}

/// The input of GroupQueryAttention with which the scales of a quantised cache begin.
constexpr int kKeyScaleInput = 12;

/// Takes a GroupQueryAttention's quantisation of keys and values away.
void attend_to_floats(onnx::NodeProto& attention) {
  auto& inputs = *attention.mutable_input();
  if (inputs.size() > kKeyScaleInput) inputs.DeleteSubrange(kKeyScaleInput, inputs.size() - kKeyScaleInput);
  while (!inputs.empty() && inputs[inputs.size() - 1].empty()) inputs.RemoveLast();
  auto& attributes = *attention.mutable_attribute();
  attributes.erase(std::remove_if(attributes.begin(), attributes.end(),
                                  [](const onnx::AttributeProto& attribute) {
                                    return attribute.name() == "k_quant_type" || attribute.name() == "v_quant_type" ||
                                           attribute.name() == "kv_cache_bit_width";
                                  }),
                   attributes.end());
}

/// Makes inputs and outputs that are int8, as nothing but the cache is, float32.
void declare_float_cache(onnx::GraphProto& graph) {
  for (auto* values : {graph.mutable_input(), graph.mutable_output()})
    for (onnx::ValueInfoProto& value : *values) {
      onnx::TypeProto::Tensor& type = *value.mutable_type()->mutable_tensor_type();
      if (type.elem_type() == onnx_type(DataType::int8)) type.set_elem_type(onnx_type(DataType::float32));
    }
}

void keep_activations(onnx::GraphProto& graph, const std::string& model) {
  std::vector<onnx::NodeProto> nodes;
  std::set<std::string> products;
  for (onnx::NodeProto& node : *graph.mutable_node()) {
    for (onnx::AttributeProto& attribute : *node.mutable_attribute()) {
      if (attribute.has_g()) keep_activations(*attribute.mutable_g(), model);
      if (node.op_type() == "MatMulNBits" && attribute.name() == "accuracy_level") attribute.set_i(0);
    }
    if (node.op_type() == "GroupQueryAttention") attend_to_floats(node);
    if (node.op_type() == "QGemm") {
      multiply_floats(graph, node, model, nodes);
      products.insert(node.output(0));
    } else if (node.op_type() == "Mul" && products.contains(input_of(node, 0, model))) {
      nodes.push_back(make_node(node.name(), "Identity", {node.input(0)}, output_of(node, 0, model)));
    } else {
      nodes.push_back(node);
    }
  }
  graph.clear_node();
  for (onnx::NodeProto& node : nodes) *graph.add_node() = std::move(node);
}

onnx::ValueInfoProto tensor_info(const std::string& name, DataType type) {
  onnx::ValueInfoProto info;
  info.set_name(name);
  info.mutable_type()->mutable_tensor_type()->set_elem_type(onnx_type(type));
  return info;
}

/// Makes the nodes take their positions from the new input. Returns whether there are any.
bool pick_from_input(onnx::GraphProto& graph, const std::string& prefix) {
  bool found = false;
  for (onnx::NodeProto& node : *graph.mutable_node()) {
    if (node.op_type() != "GatherND" || !node.name().starts_with(prefix) || node.input_size() != 2) continue;
    node.set_input(1, kProbePositions);
    found = true;
  }
  if (!found) return false;
  onnx::ValueInfoProto& input = *graph.add_input();
  input = tensor_info(kProbePositions, DataType::int64);
  onnx::TensorShapeProto& shape = *input.mutable_type()->mutable_tensor_type()->mutable_shape();
  shape.add_dim()->set_dim_param("batch_size");
  shape.add_dim()->set_dim_param("num_positions");
  shape.add_dim()->set_dim_value(1);
  // One position was declared; now there are as many as the new input names.
  for (onnx::ValueInfoProto& output : *graph.mutable_output()) {
    onnx::TensorShapeProto& declared = *output.mutable_type()->mutable_tensor_type()->mutable_shape();
    if (declared.dim_size() == 3 && declared.dim(1).dim_value() == 1)
      declared.mutable_dim(1)->set_dim_param("num_positions");
  }
  return true;
}

}  // namespace

Probe probe_model(const std::filesystem::path& model, const ProbeOptions& options) {
  onnx::ModelProto message = read_model_file(model);
  onnx::GraphProto& graph = *message.mutable_graph();
  if (options.activations == Activations::floats) {
    keep_activations(graph, model.string());
    declare_float_cache(graph);
  }
  Probe probe{.model = {}, .picks_positions = false, .taps = {}};
  if (!options.pick_prefix.empty()) probe.picks_positions = pick_from_input(graph, options.pick_prefix);
  for (const Tap& tap : options.taps) {
    const auto node =
        std::find_if(graph.node().begin(), graph.node().end(), [&](const auto& n) { return n.name() == tap.node; });
    if (node == graph.node().end() || node->output_size() <= tap.output || node->output(tap.output).empty())
      throw Error(ErrorKind::bad_input,
                  fmt::format("{}: there is no node {} with an output {}", model.string(), tap.node, tap.output));
    *graph.add_output() = tensor_info(node->output(tap.output), options.tap_type);
    probe.taps.push_back(node->output(tap.output));
  }
  probe.model = message.SerializeAsString();
  return probe;
}

}  // namespace q3vl
