#include "onnx/onnx_model.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <onnx/common/version.h>
#include <onnx/onnx_pb.h>

#include <filesystem>

#include "base/data_type.h"

namespace q3vl {
namespace {

/// Where the weights of a model lie, its subgraphs' among them.
struct Places {
  const DataLayout& layout;
  const std::string& model;
};

onnx::TensorProto_DataType proto_type(DataType type) {
  return static_cast<onnx::TensorProto_DataType>(onnx_type(type));
}

void fill(const ValueInfo& info, onnx::ValueInfoProto& proto) {
  proto.set_name(info.name);
  onnx::TypeProto* type = proto.mutable_type();
  if (info.sequence) {
    // No shape: the tensors of the sequence differ in their rows.
    type->mutable_sequence_type()->mutable_elem_type()->mutable_tensor_type()->set_elem_type(proto_type(info.type));
    return;
  }
  onnx::TypeProto_Tensor* tensor = type->mutable_tensor_type();
  tensor->set_elem_type(proto_type(info.type));
  onnx::TensorShapeProto* shape = tensor->mutable_shape();
  for (const Dim& dim : info.dims) {
    if (const auto* size = std::get_if<std::int64_t>(&dim))
      shape->add_dim()->set_dim_value(*size);
    else
      shape->add_dim()->set_dim_param(std::get<std::string>(dim));
  }
}

void fill(const Graph& graph, const Places& places, onnx::GraphProto& proto);

void fill(const Attribute& attribute, const Places& places, onnx::AttributeProto& proto) {
  using onnx::AttributeProto;
  proto.set_name(attribute.name);
  if (const auto* integer = std::get_if<std::int64_t>(&attribute.value)) {
    proto.set_type(AttributeProto::INT);
    proto.set_i(*integer);
  } else if (const auto* number = std::get_if<float>(&attribute.value)) {
    proto.set_type(AttributeProto::FLOAT);
    proto.set_f(*number);
  } else if (const auto* text = std::get_if<std::string>(&attribute.value)) {
    proto.set_type(AttributeProto::STRING);
    proto.set_s(*text);
  } else if (const auto* integers = std::get_if<std::vector<std::int64_t>>(&attribute.value)) {
    proto.set_type(AttributeProto::INTS);
    for (const std::int64_t value : *integers) proto.add_ints(value);
  } else {
    proto.set_type(AttributeProto::GRAPH);
    fill(*std::get<std::shared_ptr<Graph>>(attribute.value), places, *proto.mutable_g());
  }
}

void fill(const Constant& constant, onnx::TensorProto& proto) {
  proto.set_name(constant.name);
  proto.set_data_type(proto_type(constant.type));
  for (const std::int64_t size : constant.shape) proto.add_dims(size);
  proto.set_raw_data(constant.bytes.data(), constant.bytes.size());
}

void fill(const WeightInitializer& weight, const Places& places, onnx::TensorProto& proto) {
  proto.set_name(weight.name);
  proto.set_data_type(proto_type(weight.type));
  for (const std::int64_t size : weight.shape) proto.add_dims(size);
  proto.set_data_location(onnx::TensorProto::EXTERNAL);
  const DataPlace& place = places.layout.at(places.model, weight.blob);
  const auto entry = [&](const char* key, const std::string& value) {
    onnx::StringStringEntryProto* pair = proto.add_external_data();
    pair->set_key(key);
    pair->set_value(value);
  };
  // The runtimes look for it beside the model.
  entry("location", std::filesystem::path(place.file).filename().string());
  entry("offset", std::to_string(place.offset));
  entry("length", std::to_string(place.bytes));
}

void fill(const Graph& graph, const Places& places, onnx::GraphProto& proto) {
  proto.set_name(graph.name());
  for (const ValueInfo& input : graph.inputs()) fill(input, *proto.add_input());
  for (const ValueInfo& output : graph.outputs()) fill(output, *proto.add_output());
  for (const Constant& constant : graph.constants()) fill(constant, *proto.add_initializer());
  for (const WeightInitializer& weight : graph.weights()) fill(weight, places, *proto.add_initializer());
  for (const Node& node : graph.nodes()) {
    onnx::NodeProto& out = *proto.add_node();
    out.set_name(node.name);
    out.set_op_type(node.op_type);
    out.set_domain(node.domain);
    for (const std::string& input : node.inputs) out.add_input(input);
    for (const std::string& output : node.outputs) out.add_output(output);
    for (const Attribute& attribute : node.attributes) fill(attribute, places, *out.add_attribute());
  }
}

}  // namespace

std::vector<std::pair<std::string, std::string>> onnx_versions() {
  return {{"onnx", onnx::LAST_RELEASE_VERSION},
          {"protobuf", google::protobuf::internal::VersionString(GOOGLE_PROTOBUF_VERSION)}};
}

std::string onnx_model(const Graph& graph, const DataLayout& layout, const std::string& producer_version) {
  onnx::ModelProto model;
  model.set_ir_version(kIrVersion);
  model.set_producer_name("qwen3vl-export");
  model.set_producer_version(producer_version);
  onnx::OperatorSetIdProto* onnx_ops = model.add_opset_import();
  onnx_ops->set_domain("");
  onnx_ops->set_version(kOpset);
  onnx::OperatorSetIdProto* contrib_ops = model.add_opset_import();
  contrib_ops->set_domain(std::string(kMicrosoft));
  contrib_ops->set_version(1);
  fill(graph, Places{layout, graph.name()}, *model.mutable_graph());

  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    model.SerializeToCodedStream(&coded);
  }
  return bytes;
}

}  // namespace q3vl
