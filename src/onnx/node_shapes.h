// The input shapes of one ONNX node, for the shape functions of operator schemas: each rule is one call, and a broken
// one throws onnx::InferenceError with the operator, the input, what was found and what was expected.
//
//   NodeShapes shapes(context, "MatMulNBits");
//   shapes.expect(1, "B", {n, blocks, blob}, "[N, ceil(K / block_size), block_size * bits / 8]");
//   shapes.output(0, 0, {batch, n});
#pragma once

#include <onnx/defs/schema.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace q3vl {

using OnnxDim = onnx::TensorShapeProto::Dimension;

/// A known size; without one, a size that nothing is known about.
OnnxDim known(std::int64_t size);
inline OnnxDim unknown() {
  return {};
}

class NodeShapes {
 public:
  /// `context` must outlive the object. `op_type` opens every message.
  NodeShapes(onnx::InferenceContext& context, std::string_view op_type) : context_(&context), op_type_(op_type) {}

  /// Whether the node is given the input: an optional one may be left out.
  bool has(std::size_t input) const;

  /// Whether the input is given and its rank is known.
  bool ranked(std::size_t input) const;

  /// The element type of an input, as onnx::TensorProto counts them; 0 when it is left out or not known.
  std::int32_t type(std::size_t input) const;

  /// The sizes of a ranked input.
  std::vector<OnnxDim> dims(std::size_t input) const;

  /// An integer attribute, or `fallback` when the node does not have it.
  std::int64_t integer(const std::string& name, std::int64_t fallback) const;

  /// A string attribute, or `fallback` when the node does not have it.
  std::string text(const std::string& name, const std::string& fallback) const;

  /// An integer attribute that must be 1 or more.
  std::int64_t positive(const std::string& name, std::int64_t fallback) const;

  /// Holds a ranked input against the expected sizes, of which unknown ones are not compared. `layout` says what they
  /// mean. An input that is left out or whose rank is unknown passes.
  void expect(std::size_t input, std::string_view name, const std::vector<OnnxDim>& expected,
              std::string_view layout) const;

  /// Holds the rank of a ranked input against `rank`.
  void expect_rank(std::size_t input, std::string_view name, int rank, std::string_view layout) const;

  /// Two optional inputs that make sense only together.
  void expect_both(std::size_t first, std::string_view first_name, std::size_t second,
                   std::string_view second_name) const;

  /// Throws onnx::InferenceError with "<op_type>: <message>".
  [[noreturn]] void fail(const std::string& message) const;

  /// Gives an output the element type of an input, and nothing when the node leaves the output out.
  void output_type(std::size_t output, std::size_t like_input) const;

  /// The same, with a shape.
  void output(std::size_t output, std::size_t like_input, const std::vector<OnnxDim>& dims) const;

  /// A float32 output, whatever the inputs' type.
  void float_output(std::size_t output, const std::vector<OnnxDim>& dims) const;

 private:
  void set_shape(std::size_t output, const std::vector<OnnxDim>& dims) const;

  onnx::InferenceContext* context_;
  std::string op_type_;
};

/// "[batch_size, 3, ?]".
std::string to_string(const std::vector<OnnxDim>& dims);

/// True unless both sizes are known and differ.
bool may_be_equal(const OnnxDim& a, const OnnxDim& b);

}  // namespace q3vl
