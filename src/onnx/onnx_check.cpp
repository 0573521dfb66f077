#include "onnx/onnx_check.h"

#include <fmt/format.h>
#include <onnx/checker.h>
#include <onnx/onnx_pb.h>
#include <onnx/shape_inference/implementation.h>

#include <algorithm>
#include <map>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "onnx/contrib_schemas.h"
#include "onnx/model_file.h"
#include "onnx/node_shapes.h"
#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

using Opsets = std::map<std::string, int>;

/// The checker accepts an unknown operator of a foreign domain, and inference passes over it in silence.
void expect_schemas(const onnx::GraphProto& graph, const Opsets& opsets) {
  for (const onnx::NodeProto& node : graph.node()) {
    const auto opset = opsets.find(node.domain());
    if (opset == opsets.end() ||
        onnx::OpSchemaRegistry::Schema(node.op_type(), opset->second, node.domain()) == nullptr)
      throw std::runtime_error(fmt::format("node {}: there is no schema of {} in domain \"{}\"", node.name(),
                                           node.op_type(), node.domain()));
    for (const onnx::AttributeProto& attribute : node.attribute())
      if (attribute.has_g()) expect_schemas(attribute.g(), opsets);
  }
}

void infer(onnx::ModelProto& model) {
  onnx::shape_inference::InferShapes(model, onnx::OpSchemaRegistry::Instance(),
                                     onnx::ShapeInferenceOptions(/*check_type_val=*/true, /*strict_mode_val=*/1,
                                                                 /*data_prop_val=*/true));
}

/// A subgraph as a model of its own: the values of the graph around it, whose types are known, become inputs.
onnx::ModelProto subgraph_model(const onnx::GraphProto& subgraph, const onnx::ModelProto& around) {
  onnx::ModelProto model;
  model.set_ir_version(around.ir_version());
  *model.mutable_opset_import() = around.opset_import();
  *model.mutable_graph() = subgraph;
  auto& graph = *model.mutable_graph();
  graph.mutable_initializer()->MergeFrom(around.graph().initializer());
  graph.mutable_input()->MergeFrom(around.graph().input());
  graph.mutable_input()->MergeFrom(around.graph().value_info());
  graph.mutable_input()->MergeFrom(around.graph().output());
  return model;
}

/// Strict inference of a model and of every subgraph: libonnx itself forgives a subgraph's nodes their errors.
void infer_strictly(onnx::ModelProto model) {
  std::vector<onnx::GraphProto> subgraphs;  // as they are declared: inference adds to them
  for (const onnx::NodeProto& node : model.graph().node())
    for (const onnx::AttributeProto& attribute : node.attribute())
      if (attribute.has_g()) subgraphs.push_back(attribute.g());
  infer(model);
  for (const onnx::GraphProto& subgraph : subgraphs) infer_strictly(subgraph_model(subgraph, model));
}

std::vector<OnnxDim> dims_of(const onnx::ValueInfoProto& value) {
  const auto& dims = value.type().tensor_type().shape().dim();
  return {dims.begin(), dims.end()};
}

using Values = google::protobuf::RepeatedPtrField<onnx::ValueInfoProto>;

/// Inference keeps what is declared and cannot be inferred, so `computed` is inferred with no output's shape declared.
void compare_outputs(const Values& declared, const Values& computed) {
  for (int i = 0; i < declared.size(); ++i) {
    const std::string& name = declared[i].name();
    if (!declared[i].type().has_tensor_type())
      throw std::runtime_error(fmt::format("output {}: is not declared as a tensor", name));
    // What inference cannot know is the declaration's word alone: the elements of a sequence that a Loop has filled.
    if (!computed[i].type().tensor_type().has_shape()) continue;
    const auto declared_dims = dims_of(declared[i]);
    const auto computed_dims = dims_of(computed[i]);
    const bool equal = std::equal(declared_dims.begin(), declared_dims.end(), computed_dims.begin(),
                                  computed_dims.end(), [](const OnnxDim& d, const OnnxDim& c) {
                                    return !c.has_dim_value() || (d.has_dim_value() && d.dim_value() == c.dim_value());
                                  });
    if (!equal)
      throw std::runtime_error(fmt::format("output {}: is declared {}, computed {}", name, to_string(declared_dims),
                                           to_string(computed_dims)));
  }
}

void check(const std::filesystem::path& path) {
  onnx::checker::check_model(path.string());

  // The message of a graph with many layers is large. It is read twice, so that it is in memory once.
  onnx::ModelProto model = read_model_file(path);
  Opsets opsets;
  for (const auto& opset : model.opset_import()) opsets[opset.domain()] = static_cast<int>(opset.version());
  expect_schemas(model.graph(), opsets);
  const Values declared = model.graph().output();
  infer_strictly(std::move(model));

  model = read_model_file(path);
  for (auto& output : *model.mutable_graph()->mutable_output())
    if (output.type().has_tensor_type()) output.mutable_type()->mutable_tensor_type()->clear_shape();
  infer(model);
  compare_outputs(declared, model.graph().output());
}

}  // namespace

void check_onnx_file(const std::filesystem::path& model) {
  register_contrib_schemas();
  try {
    check(model);
  } catch (const Error&) {
    throw;  // of reading the file
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    throw Error(ErrorKind::internal, fmt::format("{}: is not valid ONNX: {}", model.string(), error.what()));
  }
}

}  // namespace q3vl
