#include "onnx/contrib_schemas.h"

#include <fmt/format.h>
#include <onnx/defs/schema.h>

#include <iterator>
#include <utility>
#include <vector>

#include "onnx/attention_schemas.h"
#include "onnx/node_shapes.h"
#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

using onnx::AttributeProto;
using onnx::OpSchema;

constexpr const char* kDomain = "com.microsoft";

std::int64_t ceil_divide(std::int64_t value, std::int64_t by) {
  return (value + by - 1) / by;
}

/// The first output is like the first input.
void infer_same(const NodeShapes& shapes) {
  if (shapes.ranked(0))
    shapes.output(0, 0, shapes.dims(0));
  else
    shapes.output_type(0, 0);
}

std::int64_t checked_bits(const NodeShapes& shapes) {
  const std::int64_t bits = shapes.integer("bits", 4);
  if (bits != 2 && bits != 4 && bits != 8) shapes.fail(fmt::format("bits is {}, expected 2, 4 or 8", bits));
  return bits;
}

std::int64_t checked_block_size(const NodeShapes& shapes, std::int64_t fallback) {
  const std::int64_t size = shapes.integer("block_size", fallback);
  if (size != 16 && size != 32 && size != 64 && size != 128 && size != 256)
    shapes.fail(fmt::format("block_size is {}, expected 16, 32, 64, 128 or 256", size));
  return size;
}

/// A [.., K] · dequantised(B) [K, N] -> [.., N].
void infer_matmul_nbits(onnx::InferenceContext& context) {
  const NodeShapes shapes(context, "MatMulNBits");
  const std::int64_t k = shapes.positive("K", 0);
  const std::int64_t n = shapes.positive("N", 0);
  const std::int64_t bits = checked_bits(shapes);
  const std::int64_t block_size = checked_block_size(shapes, 0);
  const std::int64_t blocks = ceil_divide(k, block_size);
  const std::int64_t accuracy_level = shapes.integer("accuracy_level", 0);
  if (accuracy_level < 0 || accuracy_level > 4)
    shapes.fail(fmt::format("accuracy_level is {}, expected 0 to 4", accuracy_level));

  shapes.expect(1, "B", {known(n), known(blocks), known(block_size * bits / 8)},
                "[N, ceil(K / block_size), block_size * bits / 8]");
  shapes.expect(2, "scales", {known(n), known(blocks)}, "[N, ceil(K / block_size)]");
  if (shapes.has(3)) {
    if (context.getInputType(3)->tensor_type().elem_type() == onnx::TensorProto::UINT8)
      shapes.expect(3, "zero_points", {known(n), known(ceil_divide(blocks * bits, 8))},
                    "[N, ceil(ceil(K / block_size) * bits / 8)]");
    else
      shapes.expect(3, "zero_points", {known(n), known(blocks)}, "[N, ceil(K / block_size)]");
  }
  shapes.expect_rank(4, "g_idx", 1, "[K]");
  shapes.expect(5, "bias", {known(n)}, "[N]");

  shapes.output_type(0, 0);
  if (!shapes.ranked(0)) return;
  std::vector<OnnxDim> result = shapes.dims(0);
  if (result.empty() || !may_be_equal(result.back(), known(k)))
    shapes.fail(fmt::format("A is {}, expected a last dimension of K = {}", to_string(result), k));
  result.back() = known(n);
  shapes.output(0, 0, result);
}

OpSchema matmul_nbits() {
  OpSchema schema;
  schema.SetName("MatMulNBits")
      .Attr("K", "The inner size.", AttributeProto::INT, true)
      .Attr("N", "The outer size.", AttributeProto::INT, true)
      .Attr("bits", "Bits of a quantised value.", AttributeProto::INT, std::int64_t{4})
      .Attr("block_size", "Values that share a scale.", AttributeProto::INT, true)
      .Attr("accuracy_level", "The least precision of the computation.", AttributeProto::INT, std::int64_t{0})
      .Input(0, "A", "", "T1")
      .Input(1, "B", "", "T2")
      .Input(2, "scales", "", "T1")
      .Input(3, "zero_points", "", "T3", OpSchema::Optional)
      .Input(4, "g_idx", "", "T4", OpSchema::Optional)
      .Input(5, "bias", "", "T1", OpSchema::Optional)
      .Output(0, "Y", "", "T1")
      .TypeConstraint("T1", {"tensor(float)", "tensor(float16)", "tensor(bfloat16)"}, "")
      .TypeConstraint("T2", {"tensor(uint8)"}, "")
      .TypeConstraint("T3", {"tensor(uint8)", "tensor(float)", "tensor(float16)", "tensor(bfloat16)"}, "")
      .TypeConstraint("T4", {"tensor(int32)"}, "")
      .TypeAndShapeInferenceFunction(infer_matmul_nbits);
  return schema;
}

/// Rows of dequantised(data) [V, K] at indices [..] -> [.., K].
void infer_gather_block_quantized(onnx::InferenceContext& context) {
  const NodeShapes shapes(context, "GatherBlockQuantized");
  const std::int64_t bits = checked_bits(shapes);
  const std::int64_t block_size = checked_block_size(shapes, 128);
  shapes.output_type(0, 2);
  if (!shapes.ranked(0)) return;
  std::vector<OnnxDim> data = shapes.dims(0);
  const auto rank = static_cast<std::int64_t>(data.size());
  if (rank < 2) shapes.fail(fmt::format("data is {}, expected rank 2 or more", to_string(data)));
  const std::int64_t gather_axis = shapes.integer("gather_axis", 0);
  if (gather_axis != 0 && gather_axis != -rank)
    shapes.fail(fmt::format("gather_axis is {}, expected 0 for data of uint8", gather_axis));
  const std::int64_t quantize_axis = shapes.integer("quantize_axis", 1);
  if (quantize_axis != rank - 1 && quantize_axis != -1)
    shapes.fail(fmt::format("quantize_axis is {}, expected the last, {}, for data of uint8", quantize_axis, rank - 1));

  const OnnxDim width = data.back() * (8 / bits);
  const bool known_width = width.has_dim_value();
  const std::int64_t blocks = known_width ? ceil_divide(width.dim_value(), block_size) : 0;
  data.back() = known_width ? known(blocks) : unknown();
  shapes.expect(2, "scales", data, "data's sizes, the last one ceil(K / block_size)");
  data.back() = known_width ? known(ceil_divide(blocks * bits, 8)) : unknown();
  shapes.expect(3, "zero_points", data, "data's sizes, the last one ceil(ceil(K / block_size) * bits / 8)");

  if (!shapes.ranked(1)) return;
  data.back() = width;
  std::vector<OnnxDim> result = shapes.dims(1);
  result.insert(result.end(), data.begin() + 1, data.end());
  shapes.output(0, 2, result);
}

OpSchema gather_block_quantized() {
  OpSchema schema;
  schema.SetName("GatherBlockQuantized")
      .Attr("gather_axis", "The axis to gather on.", AttributeProto::INT, std::int64_t{0})
      .Attr("quantize_axis", "The axis that blocks run along.", AttributeProto::INT, std::int64_t{1})
      .Attr("block_size", "Values that share a scale.", AttributeProto::INT, std::int64_t{128})
      .Attr("bits", "Bits of a quantised value.", AttributeProto::INT, std::int64_t{4})
      .Input(0, "data", "", "T1")
      .Input(1, "indices", "", "Tind")
      .Input(2, "scales", "", "T2")
      .Input(3, "zero_points", "", "T1", OpSchema::Optional)
      .Output(0, "output", "", "T2")
      .TypeConstraint("T1", {"tensor(uint8)"}, "")
      .TypeConstraint("T2", {"tensor(float)", "tensor(float16)", "tensor(bfloat16)"}, "")
      .TypeConstraint("Tind", {"tensor(int32)", "tensor(int64)"}, "")
      .TypeAndShapeInferenceFunction(infer_gather_block_quantized);
  return schema;
}

/// alpha · op(A) [.., M, K] · op(B) [.., K, N] -> [.., M, N], the leading sizes broadcast.
void infer_fused_matmul(onnx::InferenceContext& context) {
  const NodeShapes shapes(context, "FusedMatMul");
  shapes.output_type(0, 0);
  if (!shapes.ranked(0) || !shapes.ranked(1)) return;
  std::vector<OnnxDim> a = shapes.dims(0);
  std::vector<OnnxDim> b = shapes.dims(1);
  if (a.size() < 2) shapes.fail(fmt::format("A is {}, expected rank 2 or more", to_string(a)));
  if (b.size() < 2) shapes.fail(fmt::format("B is {}, expected rank 2 or more", to_string(b)));
  if (shapes.integer("transA", 0) != 0) std::iter_swap(a.end() - 1, a.end() - 2);
  if (shapes.integer("transB", 0) != 0) std::iter_swap(b.end() - 1, b.end() - 2);
  if (!may_be_equal(a.back(), *(b.end() - 2)))
    shapes.fail(fmt::format("the inner sizes differ: op(A) is {}, op(B) is {}", to_string(a), to_string(b)));

  onnx::TensorShapeProto lead_a, lead_b, lead;
  for (auto dim = a.begin(); dim != a.end() - 2; ++dim) *lead_a.add_dim() = *dim;
  for (auto dim = b.begin(); dim != b.end() - 2; ++dim) *lead_b.add_dim() = *dim;
  onnx::bidirectionalBroadcastShapeInference(lead_a, lead_b, lead);
  std::vector<OnnxDim> result(lead.dim().begin(), lead.dim().end());
  result.push_back(*(a.end() - 2));
  result.push_back(b.back());
  shapes.output(0, 0, result);
}

OpSchema fused_matmul() {
  OpSchema schema;
  schema.SetName("FusedMatMul")
      .Attr("alpha", "Scale of the product.", AttributeProto::FLOAT, 1.0F)
      .Attr("transA", "Whether A's last two axes are exchanged first.", AttributeProto::INT, std::int64_t{0})
      .Attr("transB", "Whether B's last two axes are exchanged first.", AttributeProto::INT, std::int64_t{0})
      .Input(0, "A", "", "T")
      .Input(1, "B", "", "T")
      .Output(0, "Y", "", "T")
      .TypeConstraint("T", {"tensor(float)", "tensor(float16)", "tensor(bfloat16)", "tensor(double)"}, "")
      .TypeAndShapeInferenceFunction(infer_fused_matmul);
  return schema;
}

/// A [M, K] · B [K, N], or [N, K] with transB, both as integers -> [M, N], here always of float32.
void infer_qgemm(onnx::InferenceContext& context) {
  const NodeShapes shapes(context, "QGemm");
  if (shapes.has(7)) shapes.fail("y_scale is given, expected none, so that the result is float");
  if (shapes.integer("transA", 0) != 0) shapes.fail("transA is not 0");
  if (!shapes.ranked(0) || !shapes.ranked(3)) return;
  const std::vector<OnnxDim> a = shapes.dims(0);
  std::vector<OnnxDim> b = shapes.dims(3);
  if (a.size() != 2 || b.size() != 2)
    shapes.fail(fmt::format("A is {} and B is {}, expected rank 2 for both", to_string(a), to_string(b)));
  if (shapes.integer("transB", 0) != 0) std::swap(b[0], b[1]);
  if (!may_be_equal(a[1], b[0]))
    shapes.fail(fmt::format("the inner sizes differ: A is {}, op(B) is {}", to_string(a), to_string(b)));
  shapes.expect(4, "b_scale", {b[1]}, "[N]");
  shapes.expect(5, "b_zero_point", {b[1]}, "[N]");
  shapes.float_output(0, {a[0], b[1]});
}

OpSchema qgemm() {
  OpSchema schema;
  schema.SetName("QGemm")
      .Attr("alpha", "Scale of the product.", AttributeProto::FLOAT, 1.0F)
      .Attr("transA", "Whether A is transposed.", AttributeProto::INT, std::int64_t{0})
      .Attr("transB", "Whether B is transposed.", AttributeProto::INT, std::int64_t{0})
      .Input(0, "A", "", "TA")
      .Input(1, "a_scale", "", "T")
      .Input(2, "a_zero_point", "", "TA")
      .Input(3, "B", "", "TB")
      .Input(4, "b_scale", "", "T")
      .Input(5, "b_zero_point", "", "TB")
      .Input(6, "C", "", "TC", OpSchema::Optional)
      .Input(7, "y_scale", "", "T", OpSchema::Optional)
      .Input(8, "y_zero_point", "", "TYZ", OpSchema::Optional)
      .Output(0, "Y", "", "TY")
      .TypeConstraint("T", {"tensor(float)"}, "")
      .TypeConstraint("TA", {"tensor(uint8)", "tensor(int8)"}, "")
      .TypeConstraint("TB", {"tensor(uint8)", "tensor(int8)"}, "")
      .TypeConstraint("TC", {"tensor(int32)"}, "")
      .TypeConstraint("TYZ", {"tensor(uint8)", "tensor(int8)"}, "")
      .TypeConstraint("TY", {"tensor(float)", "tensor(uint8)", "tensor(int8)"}, "")
      .TypeAndShapeInferenceFunction(infer_qgemm);
  return schema;
}

/// input and skip [B, S, H] -> output [B, S, H], and their sum in output 3.
void infer_skip_simplified_layer_norm(onnx::InferenceContext& context) {
  const NodeShapes shapes(context, "SkipSimplifiedLayerNormalization");
  if (!shapes.ranked(0)) {
    shapes.output_type(0, 0);
    shapes.output_type(3, 0);
    return;
  }
  const std::vector<OnnxDim> input = shapes.dims(0);
  if (input.size() != 2 && input.size() != 3)
    shapes.fail(fmt::format("input is {}, expected rank 2 or 3", to_string(input)));
  shapes.expect(1, "skip", input, "input's shape");
  shapes.expect(2, "gamma", {input.back()}, "[hidden_size]");
  shapes.expect(3, "bias", {input.back()}, "[hidden_size]");
  std::vector<OnnxDim> statistics = input;
  statistics.back() = known(1);
  shapes.output(0, 0, input);
  shapes.float_output(1, statistics);
  shapes.float_output(2, statistics);
  shapes.output(3, 0, input);
}

OpSchema skip_simplified_layer_norm() {
  OpSchema schema;
  schema.SetName("SkipSimplifiedLayerNormalization")
      .Attr("epsilon", "Added to the mean square.", AttributeProto::FLOAT, 1e-12F)
      .Input(0, "input", "", "T")
      .Input(1, "skip", "", "T")
      .Input(2, "gamma", "", "T")
      .Input(3, "bias", "", "T", OpSchema::Optional)
      .Output(0, "output", "", "T")
      .Output(1, "mean", "", "U", OpSchema::Optional)
      .Output(2, "inv_std_var", "", "U", OpSchema::Optional)
      .Output(3, "input_skip_bias_sum", "", "T", OpSchema::Optional)
      .TypeConstraint("T", {"tensor(float)", "tensor(float16)", "tensor(bfloat16)"}, "")
      .TypeConstraint("U", {"tensor(float)"}, "")
      .TypeAndShapeInferenceFunction(infer_skip_simplified_layer_norm);
  return schema;
}

/// X [..] normalised over its axes from `axis` on.
void infer_simplified_layer_norm(onnx::InferenceContext& context) {
  const NodeShapes shapes(context, "SimplifiedLayerNormalization");
  shapes.output_type(0, 1);
  if (!shapes.ranked(0)) return;
  const std::vector<OnnxDim> x = shapes.dims(0);
  const auto rank = static_cast<std::int64_t>(x.size());
  const std::int64_t axis = shapes.integer("axis", -1);
  if (axis < -rank || axis >= rank) shapes.fail(fmt::format("axis is {}, X is {}", axis, to_string(x)));
  const auto first = x.begin() + (axis < 0 ? axis + rank : axis);
  shapes.expect(1, "scale", {first, x.end()}, "X's sizes from axis on");
  std::vector<OnnxDim> statistics(x.begin(), first);
  statistics.resize(x.size(), known(1));
  shapes.output(0, 1, x);
  shapes.float_output(1, statistics);
}

OpSchema simplified_layer_norm() {
  OpSchema schema;
  schema.SetName("SimplifiedLayerNormalization")
      .Attr("axis", "The first axis to normalise over.", AttributeProto::INT, std::int64_t{-1})
      .Attr("epsilon", "Added to the mean square.", AttributeProto::FLOAT, 1e-5F)
      .Attr("stash_type", "The type to compute in.", AttributeProto::INT, std::int64_t{1})
      .Input(0, "X", "", "T")
      .Input(1, "scale", "", "V")
      .Output(0, "Y", "", "V")
      .Output(1, "inv_std_var", "", "U", OpSchema::Optional)
      .TypeConstraint("T", {"tensor(float)", "tensor(float16)", "tensor(bfloat16)", "tensor(double)"}, "")
      .TypeConstraint("U", {"tensor(float)"}, "")
      .TypeConstraint("V", {"tensor(float)", "tensor(float16)", "tensor(bfloat16)", "tensor(double)"}, "")
      .TypeAndShapeInferenceFunction(infer_simplified_layer_norm);
  return schema;
}

void infer_fast_gelu(onnx::InferenceContext& context) {
  const NodeShapes shapes(context, "FastGelu");
  if (shapes.ranked(0) && !shapes.dims(0).empty()) shapes.expect(1, "bias", {shapes.dims(0).back()}, "X's last size");
  infer_same(shapes);
}

OpSchema fast_gelu() {
  OpSchema schema;
  schema.SetName("FastGelu")
      .Input(0, "X", "", "T")
      .Input(1, "bias", "", "T", OpSchema::Optional)
      .Output(0, "Y", "", "T")
      .TypeConstraint("T", {"tensor(float)", "tensor(float16)", "tensor(bfloat16)"}, "")
      .TypeAndShapeInferenceFunction(infer_fast_gelu);
  return schema;
}

OpSchema gelu() {
  OpSchema schema;
  schema.SetName("Gelu")
      .Input(0, "X", "", "T")
      .Output(0, "Y", "", "T")
      .TypeConstraint("T", {"tensor(float)", "tensor(float16)", "tensor(bfloat16)", "tensor(double)"}, "")
      .TypeAndShapeInferenceFunction([](onnx::InferenceContext& context) { infer_same(NodeShapes(context, "Gelu")); });
  return schema;
}

OpSchema quick_gelu() {
  OpSchema schema;
  schema.SetName("QuickGelu")
      .Attr("alpha", "X * sigmoid(alpha * X).", AttributeProto::FLOAT, 1.702F)
      .Input(0, "X", "", "T")
      .Output(0, "Y", "", "T")
      .TypeConstraint("T", {"tensor(float)", "tensor(float16)", "tensor(bfloat16)", "tensor(double)"}, "")
      .TypeAndShapeInferenceFunction(
          [](onnx::InferenceContext& context) { infer_same(NodeShapes(context, "QuickGelu")); });
  return schema;
}

void add_schema(OpSchema schema, const char* domain) {
  const std::string name = schema.Name();
  schema.SetDomain(domain).SinceVersion(1).SetLocation(__FILE__, __LINE__);
  onnx::RegisterSchema(std::move(schema));
  // The registry only prints what it refuses.
  if (onnx::OpSchemaRegistry::Schema(name, 1, domain) == nullptr)
    throw Error(ErrorKind::internal, fmt::format("libonnx refuses the schema of {} in domain \"{}\"", name, domain));
}

}  // namespace

void register_contrib_schemas() {
  static const bool once = [] {
    auto& domains = onnx::OpSchemaRegistry::DomainToVersionRange::Instance();
    if (!domains.Map().contains(kDomain)) domains.AddDomainToVersion(kDomain, 1, 1);
    for (OpSchema& schema : attention_schemas()) add_schema(std::move(schema), kDomain);
    for (const auto make : {matmul_nbits, gather_block_quantized, fused_matmul, qgemm, skip_simplified_layer_norm,
                            fast_gelu, gelu, quick_gelu})
      add_schema(make(), kDomain);
    add_schema(simplified_layer_norm(), onnx::ONNX_DOMAIN);
    return true;
  }();
  static_cast<void>(once);
}

}  // namespace q3vl
