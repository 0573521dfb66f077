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

void fill(const Node& node, const Places& places, onnx::NodeProto& proto) {
  proto.set_name(node.name);
  proto.set_op_type(node.op_type);
  proto.set_domain(node.domain);
  for (const std::string& input : node.inputs) proto.add_input(input);
  for (const std::string& output : node.outputs) proto.add_output(output);
  for (const Attribute& attribute : node.attributes) fill(attribute, places, *proto.add_attribute());
}

/// Hands out the fields of a graph in the order of their numbers: `next` gives the message that the next one goes into.
template <typename Next>
void fill_in_order(const Graph& graph, const Places& places, const Next& next) {
  for (const Node& node : graph.nodes()) fill(node, places, *next().add_node());
  next().set_name(graph.name());
  for (const Constant& constant : graph.constants()) fill(constant, *next().add_initializer());
  for (const WeightInitializer& weight : graph.weights()) fill(weight, places, *next().add_initializer());
  for (const ValueInfo& input : graph.inputs()) fill(input, *next().add_input());
  for (const ValueInfo& output : graph.outputs()) fill(output, *next().add_output());
}

void fill(const Graph& graph, const Places& places, onnx::GraphProto& proto) {
  fill_in_order(graph, places, [&]() -> onnx::GraphProto& { return proto; });
}

/// Messages that are written one behind the other are read as one that has the fields of all. So a graph is written
/// field by field: whole, its message would take several times the memory of its bytes.
std::string graph_bytes(const Graph& graph, const Places& places) {
  std::string bytes;
  onnx::GraphProto field;
  const auto write_field = [&] {
    field.AppendToString(&bytes);
    field.Clear();
  };
  fill_in_order(graph, places, [&]() -> onnx::GraphProto& {
    write_field();
    return field;
  });
  write_field();
  return bytes;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> onnx_versions() {
  return {{"onnx", onnx::LAST_RELEASE_VERSION},
          {"protobuf", google::protobuf::internal::VersionString(GOOGLE_PROTOBUF_VERSION)}};
}

std::string onnx_model(const Graph& graph, const DataLayout& layout, const std::string& producer_version) {
  onnx::ModelProto before_graph;
  before_graph.set_ir_version(kIrVersion);
  before_graph.set_producer_name("qwen3vl-export");
  before_graph.set_producer_version(producer_version);
  onnx::ModelProto behind_graph;
  onnx::OperatorSetIdProto* onnx_ops = behind_graph.add_opset_import();
  onnx_ops->set_domain("");
  onnx_ops->set_version(kOpset);
  onnx::OperatorSetIdProto* contrib_ops = behind_graph.add_opset_import();
  contrib_ops->set_domain(std::string(kMicrosoft));
  contrib_ops->set_version(1);
  const std::string whole_graph = graph_bytes(graph, Places{layout, graph.name()});

  std::string bytes = before_graph.SerializeAsString();
  {
    constexpr std::uint32_t kLengthAndBytes = 2;  // the wire type of a message inside another
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.WriteTag(onnx::ModelProto::kGraphFieldNumber << 3 | kLengthAndBytes);
    coded.WriteVarint64(whole_graph.size());
  }
  bytes.reserve(bytes.size() + whole_graph.size() + behind_graph.ByteSizeLong());
  bytes += whole_graph;
  behind_graph.AppendToString(&bytes);
  return bytes;
}

}  // namespace q3vl
