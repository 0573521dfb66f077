#include "serialize/model_probe.h"

#include <fmt/format.h>
#include <onnx/onnx_pb.h>

#include <algorithm>

#include "qwen3vl_export/error.h"
#include "serialize/model_file.h"

namespace q3vl {
namespace {

void set_accuracy(onnx::GraphProto& graph, std::int64_t level) {
  for (onnx::NodeProto& node : *graph.mutable_node())
    if (node.op_type() == "MatMulNBits")
      for (onnx::AttributeProto& attribute : *node.mutable_attribute())
        if (attribute.name() == "accuracy_level") attribute.set_i(level);
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
  if (options.accuracy_level) set_accuracy(graph, *options.accuracy_level);
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
