#include "onnx/lone_matrices.h"

#include <fmt/format.h>
#include <onnx/onnx_pb.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "onnx/model_file.h"
#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

/// Takes over nodes of one graph into another.
class Selection {
 public:
  Selection(const onnx::GraphProto& from, std::string origin) : from_(from), origin_(std::move(origin)) {
    for (const onnx::TensorProto& tensor : from.initializer()) initializers_[tensor.name()] = &tensor;
    for (const onnx::NodeProto& node : from.node())
      for (const std::string& output : node.output()) producers_[output] = &node;
  }

  LoneMatrices take(onnx::ModelProto& message) {
    for (const onnx::NodeProto& node : from_.node()) {
      const std::string& op = node.op_type();
      if (op == "MatMulNBits")
        add(node, DataType::float32, {1}, attribute(node, "K"));
      else if (op == "QGemm")
        add(node, DataType::uint8, {}, columns_of(node, 3));
      else if (op == "FusedMatMul" && weight_of(input_of(node, 1, origin_)) != nullptr)
        add(node, DataType::float32, {1}, columns_of(node, 1));
    }
    *message.mutable_graph() = std::move(graph_);
    return {message.SerializeAsString(), std::move(inputs_)};
  }

 private:
  static std::int64_t attribute(const onnx::NodeProto& node, const char* name) {
    for (const onnx::AttributeProto& each : node.attribute())
      if (each.name() == name) return each.i();
    return 0;
  }

  /// The stored weight behind `name`, maybe through a Cast; nothing for what is computed.
  const onnx::TensorProto* weight_of(const std::string& name) const {
    const auto producer = producers_.find(name);
    const bool cast = producer != producers_.end() && producer->second->op_type() == "Cast";
    const auto found = initializers_.find(cast ? input_of(*producer->second, 0, origin_) : name);
    return found == initializers_.end() ? nullptr : found->second;
  }

  std::int64_t columns_of(const onnx::NodeProto& node, int index) const {
    const onnx::TensorProto* weight = weight_of(input_of(node, index, origin_));
    if (weight == nullptr || weight->dims_size() != 2)
      fail(fmt::format("node {} ({}) multiplies by {}, expected a stored matrix", node.name(), node.op_type(),
                       node.input(index)));
    return weight->dims(1);
  }

  void add(const onnx::NodeProto& node, DataType type, const std::vector<std::int64_t>& leading, std::int64_t width) {
    const std::string& result = output_of(node, 0, origin_);
    input_of(node, 0, origin_);
    onnx::NodeProto matrix = node;
    matrix.set_input(0, input(type, leading, width));
    for (int i = 1; i < node.input_size(); ++i) need(node.input(i));
    *graph_.add_node() = matrix;
    onnx::NodeProto& shape = *graph_.add_node();
    shape.set_op_type("Shape");
    shape.add_input(result);
    shape.add_output(result + "/shape");
    onnx::ValueInfoProto& output = *graph_.add_output();
    output.set_name(shape.output(0));
    output.mutable_type()->mutable_tensor_type()->set_elem_type(onnx::TensorProto::INT64);
  }

  /// Initializers, and the Casts that widen them.
  void need(const std::string& name) {
    if (name.empty() || !taken_.insert(name).second) return;
    if (const auto found = initializers_.find(name); found != initializers_.end()) {
      *graph_.add_initializer() = *found->second;
      return;
    }
    if (weight_of(name) == nullptr) fail(fmt::format("{} is no stored weight, nor a Cast of one", name));
    const onnx::NodeProto& cast = *producers_.at(name);
    need(cast.input(0));
    *graph_.add_node() = cast;
  }

  [[noreturn]] void fail(const std::string& message) const {
    throw Error(ErrorKind::bad_input, fmt::format("{}: {}", origin_, message));
  }

  std::string input(DataType type, const std::vector<std::int64_t>& leading, std::int64_t width) {
    const std::string name = fmt::format("{}_{}", name_of(type), width);
    if (std::ranges::any_of(inputs_, [&](const auto& known) { return known.name == name; })) return name;
    inputs_.push_back({name, type, leading, width});
    onnx::ValueInfoProto& info = *graph_.add_input();
    info.set_name(name);
    onnx::TypeProto_Tensor& tensor = *info.mutable_type()->mutable_tensor_type();
    tensor.set_elem_type(onnx_type(type));
    for (const std::int64_t size : leading) tensor.mutable_shape()->add_dim()->set_dim_value(size);
    tensor.mutable_shape()->add_dim()->set_dim_param("rows");
    tensor.mutable_shape()->add_dim()->set_dim_value(width);
    return name;
  }

  const onnx::GraphProto& from_;
  std::string origin_;
  std::map<std::string, const onnx::TensorProto*> initializers_;
  std::map<std::string, const onnx::NodeProto*> producers_;
  std::set<std::string> taken_;
  onnx::GraphProto graph_;
  std::vector<LoneMatrices::Input> inputs_;
};

}  // namespace

LoneMatrices lone_matrices(const std::filesystem::path& model) {
  onnx::ModelProto message = read_model_file(model);
  const onnx::GraphProto graph = message.graph();
  LoneMatrices matrices = Selection(graph, model.string()).take(message);
  if (matrices.inputs.empty())
    throw Error(
        ErrorKind::bad_input,
        fmt::format("{}: has no MatMulNBits, QGemm or FusedMatMul with weights, so there are no matrices to measure",
                    model.string()));
  return matrices;
}

}  // namespace q3vl
