#include "onnx/model_summary.h"

#include <fmt/format.h>
#include <onnx/onnx_pb.h>

#include <charconv>
#include <set>
#include <string_view>

#include "onnx/model_file.h"
#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

/// Reads one file; its messages begin with the path.
class Reader {
 public:
  explicit Reader(const std::filesystem::path& path) : path_(path.string()), model_(read_model_file(path)) {}

  ModelSummary read() const {
    ModelSummary summary;
    summary.ir_version = model_.ir_version();
    for (const auto& opset : model_.opset_import()) summary.opset_imports[opset.domain()] = opset.version();
    const onnx::GraphProto& graph = model_.graph();
    std::set<std::string> weights;
    std::set<std::string> whole;
    std::set<std::string> rows;
    collect_readers(graph, whole, rows);
    for (const onnx::TensorProto& tensor : graph.initializer()) {
      summary.initializers.push_back(initializer(tensor));
      summary.initializers.back().looked_up = rows.contains(tensor.name()) && !whole.contains(tensor.name());
      weights.insert(tensor.name());
    }
    for (const onnx::ValueInfoProto& input : graph.input())
      if (!weights.contains(input.name())) summary.inputs.push_back(value("input", input));
    for (const onnx::ValueInfoProto& output : graph.output()) summary.outputs.push_back(value("output", output));
    count_operators(graph, summary);
    return summary;
  }

 private:
  [[noreturn]] void fail(const std::string& message) const {
    throw Error(ErrorKind::bad_input, fmt::format("{}: {}", path_, message));
  }

  DataType element_type(const std::string& what, int type) const {
    switch (type) {
      case onnx::TensorProto::FLOAT:
        return DataType::float32;
      case onnx::TensorProto::FLOAT16:
        return DataType::float16;
      case onnx::TensorProto::BFLOAT16:
        return DataType::bfloat16;
      case onnx::TensorProto::DOUBLE:
        return DataType::float64;
      case onnx::TensorProto::INT64:
        return DataType::int64;
      case onnx::TensorProto::INT32:
        return DataType::int32;
      case onnx::TensorProto::INT16:
        return DataType::int16;
      case onnx::TensorProto::INT8:
        return DataType::int8;
      case onnx::TensorProto::UINT8:
        return DataType::uint8;
      case onnx::TensorProto::BOOL:
        return DataType::boolean;
      default:
        fail(fmt::format("{} has element type {}, which is unknown here", what, type));
    }
  }

  ValueInfo value(std::string_view kind, const onnx::ValueInfoProto& info) const {
    const std::string what = fmt::format("{} {}", kind, info.name());
    const bool sequence = info.type().has_sequence_type();
    const onnx::TypeProto& type = sequence ? info.type().sequence_type().elem_type() : info.type();
    if (!type.has_tensor_type()) fail(fmt::format("{} is neither a tensor nor a sequence of tensors", what));
    ValueInfo result{info.name(), element_type(what, type.tensor_type().elem_type()), {}, sequence};
    for (const auto& dim : type.tensor_type().shape().dim()) {
      if (dim.has_dim_value())
        result.dims.emplace_back(std::int64_t{dim.dim_value()});
      else
        result.dims.emplace_back(dim.has_dim_param() ? dim.dim_param() : "?");
    }
    return result;
  }

  InitializerSummary initializer(const onnx::TensorProto& tensor) const {
    InitializerSummary result{tensor.name(),
                              element_type("initializer " + tensor.name(), tensor.data_type()),
                              {tensor.dims().begin(), tensor.dims().end()},
                              {}};
    Shape byte_shape = result.shape;
    byte_shape.push_back(static_cast<std::int64_t>(size_of(result.type)));
    if (!checked_element_count(byte_shape))
      fail(fmt::format("initializer {} has the shape {}, whose bytes cannot be counted in 63 bits", tensor.name(),
                       to_string(result.shape)));
    if (tensor.data_location() != onnx::TensorProto::EXTERNAL) return result;
    ExternalData external;
    bool has_length = false;
    for (const auto& entry : tensor.external_data()) {
      if (entry.key() == "location") external.location = entry.value();
      if (entry.key() == "offset") external.offset = number(tensor, entry);
      if (entry.key() == "length") external.length = number(tensor, entry);
      has_length = has_length || entry.key() == "length";
    }
    if (external.location.empty()) fail(fmt::format("initializer {} is external without a location", tensor.name()));
    if (!has_length) external.length = static_cast<std::uint64_t>(element_count(result.shape)) * size_of(result.type);
    result.external = external;
    return result;
  }

  std::uint64_t number(const onnx::TensorProto& tensor, const onnx::StringStringEntryProto& entry) const {
    const std::string& text = entry.value();
    std::uint64_t result = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), result);
    if (error != std::errc() || end != text.data() + text.size())
      fail(fmt::format("initializer {}: the external data's {} is \"{}\", expected a number", tensor.name(),
                       entry.key(), text));
    return result;
  }

  /// Which values are read as a whole, and of which rows are looked up. What a Cast reads is read as its output is: the
  /// readers of a value stand after it, so nodes are seen from the last to the first.
  static void collect_readers(const onnx::GraphProto& graph, std::set<std::string>& whole,
                              std::set<std::string>& rows) {
    for (const onnx::ValueInfoProto& output : graph.output()) whole.insert(output.name());
    for (int i = graph.node_size() - 1; i >= 0; --i) {
      const onnx::NodeProto& node = graph.node(i);
      for (const onnx::AttributeProto& attribute : node.attribute())
        if (attribute.has_g()) collect_readers(attribute.g(), whole, rows);
      if (node.op_type() == "Cast" && node.input_size() == 1 && node.output_size() == 1) {
        for (std::set<std::string>* readers : {&whole, &rows})
          if (readers->contains(node.output(0))) readers->insert(node.input(0));
        continue;
      }
      const bool lookup = node.op_type() == "Gather" || node.op_type() == "GatherBlockQuantized";
      (lookup ? rows : whole).insert(node.input().begin(), node.input().end());
    }
  }

  void count_operators(const onnx::GraphProto& graph, ModelSummary& summary) const {
    for (const onnx::NodeProto& node : graph.node()) {
      const std::string op = node.domain().empty() ? node.op_type() : node.domain() + "." + node.op_type();
      ++summary.operators[op];
      std::optional<std::int64_t> bits;
      std::optional<std::int64_t> block_size;
      for (const onnx::AttributeProto& attribute : node.attribute()) {
        if (attribute.name() == "bits") bits = attribute.i();
        if (attribute.name() == "block_size") block_size = attribute.i();
        if (attribute.has_g()) count_operators(attribute.g(), summary);
      }
      if (bits && block_size) ++summary.quantized[{op, *bits, *block_size}];
    }
  }

  std::string path_;
  onnx::ModelProto model_;
};

}  // namespace

ModelSummary read_model_summary(const std::filesystem::path& model) {
  return Reader(model).read();
}

}  // namespace q3vl
