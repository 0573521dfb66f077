// The graph-emitter core: an append-only ONNX graph in memory, without Protobuf and without weights' bytes.
//
//   Graph graph("model");
//   const Value x = graph.input("x", DataType::float32, {"batch_size", 64});
//   const Value y = graph.emit(Scope("mlp"), "Sigmoid", {x}, DataType::float32);
//   graph.output("y", y, {"batch_size", 64});
//
// Every value is made before it is used, names are unique over a graph and its subgraphs, and weights and constants of
// a subgraph live in the outermost graph, where runtimes pack them once.
#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <variant>
#include <vector>

#include "base/data_type.h"
#include "base/shape.h"

namespace q3vl {

/// A dotted path: the checkpoint's weight name, the node's name and the initializer's name are all made of it.
class Scope {
 public:
  explicit Scope(std::string path) : path_(std::move(path)) {}
  Scope operator/(std::string_view part) const {
    return Scope(path_.empty() ? std::string(part) : path_ + "." + std::string(part));
  }
  Scope operator/(std::int64_t index) const { return *this / std::to_string(index); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

/// An edge of the graph. An empty name stands for an optional input that is left out.
struct Value {
  std::string name;
  DataType type = DataType::float32;
};

/// A size that is known, or the name of one that is not ("sequence_length").
using Dim = std::variant<std::int64_t, std::string>;
using Dims = std::vector<Dim>;

class Graph;

struct Attribute {
  using Payload = std::variant<std::int64_t, float, std::string, std::vector<std::int64_t>, std::shared_ptr<Graph>>;
  std::string name;
  Payload value;
};

/// A node's attributes, in the order in which they are set:
///
///   Attributes().set("axis", -1).set("epsilon", 1e-6F).set("perm", {1, 0})
///
/// A braced list of Attribute is not accepted: when an allocation fails inside such a list, g++ 12 destroys elements
/// that it has not made.
class Attributes {
 public:
  Attributes& set(std::string_view name, std::integral auto value) {
    return add(name, static_cast<std::int64_t>(value));
  }
  Attributes& set(std::string_view name, float value) { return add(name, value); }
  Attributes& set(std::string_view name, const char* value) { return add(name, std::string(value)); }
  Attributes& set(std::string_view name, std::initializer_list<std::int64_t> values) {
    return add(name, std::vector(values));
  }
  /// The body of a control-flow node.
  Attributes& set(std::string_view name, std::shared_ptr<Graph> body) { return add(name, std::move(body)); }

  const std::vector<Attribute>& all() const { return all_; }

 private:
  Attributes& add(std::string_view name, Attribute::Payload value);

  std::vector<Attribute> all_;
};

struct Node {
  std::string name;
  std::string op_type;
  std::string domain;  ///< "" is ai.onnx
  std::vector<std::string> inputs;
  std::vector<std::string> outputs;
  std::vector<Attribute> attributes;
};

/// A graph input or output. `sequence` marks a sequence of such tensors.
struct ValueInfo {
  std::string name;
  DataType type;
  Dims dims;
  bool sequence = false;
};

/// A constant that stands in the graph file itself.
struct Constant {
  std::string name;
  DataType type;
  Shape shape;
  std::vector<std::byte> bytes;
};

/// A constant whose bytes are made from a weight later; `blob` identifies them, over all graphs of a package.
struct WeightInitializer {
  std::string name;
  DataType type;
  Shape shape;
  std::string blob;
};

inline constexpr std::string_view kMicrosoft = "com.microsoft";

class Graph {
 public:
  explicit Graph(std::string name) : name_(std::move(name)), root_(this) {}
  Graph(const Graph&) = delete;  // subgraphs point to it
  Graph& operator=(const Graph&) = delete;

  /// An empty graph for a control-flow node of this one. It may use this graph's values and shares its names, constants
  /// and weights.
  std::shared_ptr<Graph> subgraph(std::string name);

  Value input(const std::string& name, DataType type, Dims dims);
  /// A sequence of tensors, as a loop carries it.
  Value sequence_input(const std::string& name, DataType type);

  /// Declares `value` as the output called `name`. The value takes that name, so it must not be an input.
  void output(const std::string& name, const Value& value, Dims dims);
  void sequence_output(const Value& value);

  /// One node with one output. `scope` names it: "<scope>/<op_type>".
  Value emit(const Scope& scope, std::string_view op_type, const std::vector<Value>& inputs, DataType type,
             const Attributes& attributes = {}, std::string_view domain = "");

  /// One node with several outputs, one a type; unused ones cannot be left out.
  std::vector<Value> emit_many(const Scope& scope, std::string_view op_type, const std::vector<Value>& inputs,
                               const std::vector<DataType>& types, const Attributes& attributes = {},
                               std::string_view domain = "");

  /// The same, but outputs whose place in `wanted` is false get no name.
  std::vector<Value> emit_some(const Scope& scope, std::string_view op_type, const std::vector<Value>& inputs,
                               const std::vector<DataType>& types, const std::vector<bool>& wanted,
                               const Attributes& attributes = {}, std::string_view domain = "");

  /// An int64 constant; equal ones are shared. A scalar is given by `scalar`.
  Value integers(std::vector<std::int64_t> values);
  Value scalar(std::int64_t value);
  /// A constant of `type`, one of float32, float16 and bfloat16, to which `values` are rounded.
  Value floats(const std::string& name, Shape shape, std::span<const float> values, DataType type);
  Value float_scalar(float value, DataType type);
  Value byte_scalar(std::uint8_t value);

  /// A weight, or a part of one. The same name again must mean the same blob and gives the same value.
  Value weight(const std::string& name, DataType type, Shape shape, const std::string& blob);

  /// The outermost graph: where constants, weights and what only depends on them belong.
  Graph& root() { return *root_; }

  const std::string& name() const { return name_; }
  const std::vector<ValueInfo>& inputs() const { return inputs_; }
  const std::vector<ValueInfo>& outputs() const { return outputs_; }
  const std::vector<Node>& nodes() const { return nodes_; }
  const std::vector<Constant>& constants() const { return constants_; }
  const std::vector<WeightInitializer>& weights() const { return weights_; }

 private:
  Graph(std::string name, Graph* root) : name_(std::move(name)), root_(root) {}
  std::string unique(const std::string& wanted);
  Value constant(std::string name, DataType type, Shape shape, std::vector<std::byte> bytes);

  std::string name_;
  Graph* root_;
  std::vector<ValueInfo> inputs_;
  std::vector<ValueInfo> outputs_;
  std::vector<Node> nodes_;
  std::vector<Constant> constants_;  // of the root only, as are the two below
  std::vector<WeightInitializer> weights_;
  std::unordered_set<std::string> names_;
  std::unordered_map<std::string, std::vector<std::size_t>> nodes_with_;  // value → nodes of this graph that make or
                                                                          // read it
  std::unordered_map<std::string, std::size_t> constant_places_;          // of the root only, in constants_; so is
  std::unordered_map<std::string, std::size_t> weight_places_;            // in weights_
};

}  // namespace q3vl
