#include "onnx/attention_schemas.h"

#include <fmt/format.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "onnx/node_shapes.h"

namespace q3vl {
namespace {

using onnx::AttributeProto;
using onnx::OpSchema;

/// width / heads, unknown when the width is; throws when it does not divide.
OnnxDim head_size_of(const NodeShapes& shapes, std::string_view name, const OnnxDim& width, std::int64_t heads) {
  if (!width.has_dim_value()) return unknown();
  if (width.dim_value() % heads != 0)
    shapes.fail(fmt::format("{} is {} wide, expected a multiple of its {} heads", name, width.dim_value(), heads));
  return known(width.dim_value() / heads);
}

/// Holds cos_cache and sin_cache [max, width] against each other; returns the width, unknown without them.
OnnxDim cache_width(const NodeShapes& shapes, std::size_t cos, std::size_t sin) {
  shapes.expect_rank(cos, "cos_cache", 2, "[max_sequence_length, rotary_dim / 2]");
  shapes.expect_rank(sin, "sin_cache", 2, "[max_sequence_length, rotary_dim / 2]");
  if (!shapes.ranked(cos)) return unknown();
  shapes.expect(sin, "sin_cache", shapes.dims(cos), "cos_cache's shape");
  return shapes.dims(cos)[1];
}

/// The operands of GroupQueryAttention, in the order of its inputs.
enum GqaInput : std::size_t {
  kQuery,
  kKey,
  kValue,
  kPastKey,
  kPastValue,
  kSeqlens,
  kTotal,
  kCos,
  kSin,
  kPositions,
  kBias,
  kSink,
  kKeyScale,
  kValueScale
};

/// Holds the scales of a quantised cache against what k_quant_type and v_quant_type say: none, one, or one a channel.
void check_gqa_scales(const NodeShapes& shapes, std::int64_t kv_heads, const OnnxDim& size) {
  const std::string kind = shapes.text("k_quant_type", "NONE");
  if (const std::string other = shapes.text("v_quant_type", "NONE"); other != kind)
    shapes.fail(fmt::format("k_quant_type is {} and v_quant_type {}, expected the same", kind, other));
  const bool by_channel = kind == "PER_CHANNEL";
  if (kind != "NONE" && kind != "PER_TENSOR" && !by_channel)
    shapes.fail(fmt::format("k_quant_type is {}, expected NONE, PER_TENSOR or PER_CHANNEL", kind));
  shapes.expect_both(kKeyScale, "k_scale", kValueScale, "v_scale");
  if (shapes.has(kKeyScale) != (kind != "NONE"))
    shapes.fail(fmt::format("k_quant_type is {} {} k_scale", kind, shapes.has(kKeyScale) ? "with" : "without"));
  const bool quantized = shapes.type(kPastKey) == onnx::TensorProto::INT8;
  if (quantized && !shapes.has(kKeyScale)) shapes.fail("past_key is int8 without k_scale");
  if (!quantized && shapes.has(kKeyScale)) shapes.fail("past_key is not int8, but has a k_scale");
  if (const std::int64_t bits = shapes.integer("kv_cache_bit_width", 8); kind != "NONE" && bits != 8)
    shapes.fail(fmt::format("kv_cache_bit_width is {}, expected 8", bits));
  const std::vector<OnnxDim> scales =
      by_channel ? std::vector<OnnxDim>{known(1), known(kv_heads), known(1), size} : std::vector<OnnxDim>{known(1)};
  const char* layout = by_channel ? "[1, kv_num_heads, 1, head_size]" : "one scale";
  shapes.expect(kKeyScale, "k_scale", scales, layout);
  shapes.expect(kValueScale, "v_scale", scales, layout);
}

void check_gqa_rotary(const NodeShapes& shapes, const OnnxDim& head_size) {
  shapes.expect_both(kCos, "cos_cache", kSin, "sin_cache");
  if (shapes.integer("do_rotary", 0) != 0 && !shapes.has(kCos)) shapes.fail("do_rotary is 1 without cos_cache");
  const OnnxDim width = cache_width(shapes, kCos, kSin);
  if (!shapes.has(kCos) || !head_size.has_dim_value()) return;
  if (head_size.dim_value() % 16 != 0)
    shapes.fail(fmt::format("head_size is {}, expected a multiple of 16 with cos_cache", head_size.dim_value()));
  if (width.has_dim_value() && (width.dim_value() > head_size.dim_value() / 2 || width.dim_value() % 8 != 0))
    shapes.fail(fmt::format("cos_cache is {} wide, expected a multiple of 8 up to head_size / 2 = {}",
                            width.dim_value(), head_size.dim_value() / 2));
}

/// query [B, S, heads · size], key and value [B, S, kv_heads · size], past [B, kv_heads, past, size]
/// -> output [B, S, heads · size], present [B, kv_heads, total, size] of past's type. Without key and value, query
/// holds all three.
void infer_group_query_attention(onnx::InferenceContext& context) {
  const NodeShapes shapes(context, "GroupQueryAttention");
  const std::int64_t heads = shapes.positive("num_heads", 0);
  const std::int64_t kv_heads = shapes.positive("kv_num_heads", 0);
  if (heads % kv_heads != 0)
    shapes.fail(fmt::format("num_heads is {}, expected a multiple of kv_num_heads = {}", heads, kv_heads));
  shapes.expect_both(kKey, "key", kValue, "value");
  shapes.expect_both(kPastKey, "past_key", kPastValue, "past_value");
  shapes.output_type(0, kQuery);
  const std::size_t cache = shapes.has(kPastKey) ? kPastKey : kQuery;
  shapes.output_type(1, cache);
  shapes.output_type(2, cache);
  shapes.expect_rank(kQuery, "query", 3, "[batch_size, sequence_length, num_heads * head_size]");
  if (!shapes.ranked(kQuery)) return;

  const std::vector<OnnxDim> query = shapes.dims(kQuery);
  const OnnxDim& batch = query[0];
  const OnnxDim& length = query[1];
  const bool packed = !shapes.has(kKey);
  const OnnxDim size = head_size_of(shapes, "query", query[2], packed ? heads + 2 * kv_heads : heads);
  if (size.has_dim_value() && size.dim_value() % 8 != 0)
    shapes.fail(fmt::format("head_size is {}, expected a multiple of 8", size.dim_value()));
  shapes.expect(kKey, "key", {batch, length, size * kv_heads},
                "[batch_size, sequence_length, kv_num_heads * head_size]");
  shapes.expect(kValue, "value", {batch, length, size * kv_heads},
                "[batch_size, sequence_length, kv_num_heads * head_size]");
  shapes.expect(kPastKey, "past_key", {batch, known(kv_heads), unknown(), size},
                "[batch_size, kv_num_heads, past_sequence_length, head_size]");
  const OnnxDim past_length = shapes.ranked(kPastKey) ? shapes.dims(kPastKey)[2] : unknown();
  shapes.expect(kPastValue, "past_value", {batch, known(kv_heads), past_length, size},
                "[batch_size, kv_num_heads, past_sequence_length, head_size]");
  shapes.expect(kSeqlens, "seqlens_k", {batch}, "[batch_size]");
  if (shapes.ranked(kTotal) && !shapes.dims(kTotal).empty())
    shapes.expect(kTotal, "total_sequence_length", {known(1)}, "a scalar");
  check_gqa_rotary(shapes, size);
  shapes.expect(kPositions, "position_ids", {batch, length}, "[batch_size, sequence_length]");
  shapes.expect_rank(kBias, "attention_bias", 4, "[batch_size or 1, num_heads or 1, sequence_length, total]");
  shapes.expect(kSink, "head_sink", {known(heads)}, "[num_heads]");
  check_gqa_scales(shapes, kv_heads, size);

  // The cache's length is known at run time only: past may be a buffer with room for more than it holds.
  const std::vector<OnnxDim> present{batch, known(kv_heads), unknown(), size};
  shapes.output(0, kQuery, {batch, length, packed ? size * heads : query[2]});
  shapes.output(1, cache, present);
  shapes.output(2, cache, present);
}

OpSchema group_query_attention() {
  OpSchema schema;
  schema.SetName("GroupQueryAttention")
      .Attr("num_heads", "Heads of query.", AttributeProto::INT, true)
      .Attr("kv_num_heads", "Heads of key and value.", AttributeProto::INT, true)
      .Attr("scale", "Scale of the scores; 1 / sqrt(head_size) without it.", AttributeProto::FLOAT, false)
      .Attr("softcap", "Soft limit of the scores; 0 is none.", AttributeProto::FLOAT, 0.0F)
      .Attr("local_window_size", "Positions a query looks back at; -1 is all.", AttributeProto::INT, std::int64_t{-1})
      .Attr("do_rotary", "Whether to rotate query and key.", AttributeProto::INT, std::int64_t{0})
      .Attr("rotary_interleaved", "Whether rotated pairs are neighbours.", AttributeProto::INT, std::int64_t{0})
      .Attr("smooth_softmax", "Whether the softmax has a sink of 0.", AttributeProto::INT, std::int64_t{-1})
      .Attr("k_quant_type", "What has a scale in past_key: NONE, PER_TENSOR, PER_CHANNEL.", AttributeProto::STRING,
            std::string("NONE"))
      .Attr("v_quant_type", "The same of past_value.", AttributeProto::STRING, std::string("NONE"))
      .Attr("kv_cache_bit_width", "Bits of a quantised cache.", AttributeProto::INT, false)
      .Input(kQuery, "query", "", "T")
      .Input(kKey, "key", "", "T", OpSchema::Optional)
      .Input(kValue, "value", "", "T", OpSchema::Optional)
      .Input(kPastKey, "past_key", "", "C", OpSchema::Optional)
      .Input(kPastValue, "past_value", "", "C", OpSchema::Optional)
      .Input(kSeqlens, "seqlens_k", "", "M")
      .Input(kTotal, "total_sequence_length", "", "M")
      .Input(kCos, "cos_cache", "", "T", OpSchema::Optional)
      .Input(kSin, "sin_cache", "", "T", OpSchema::Optional)
      .Input(kPositions, "position_ids", "", "tensor(int64)", OpSchema::Optional)
      .Input(kBias, "attention_bias", "", "T", OpSchema::Optional)
      .Input(kSink, "head_sink", "", "T", OpSchema::Optional)
      .Input(kKeyScale, "k_scale", "", "tensor(float)", OpSchema::Optional)
      .Input(kValueScale, "v_scale", "", "tensor(float)", OpSchema::Optional)
      .Output(0, "output", "", "T")
      .Output(1, "present_key", "", "C", OpSchema::Optional)
      .Output(2, "present_value", "", "C", OpSchema::Optional)
      .TypeConstraint("T", {"tensor(float)", "tensor(float16)", "tensor(bfloat16)"}, "")
      .TypeConstraint("C", {"tensor(float)", "tensor(float16)", "tensor(bfloat16)", "tensor(int8)"}, "")
      .TypeConstraint("M", {"tensor(int32)"}, "")
      .TypeAndShapeInferenceFunction(infer_group_query_attention);
  return schema;
}

/// query [B, S, heads · size], key [B, L, heads · size], value [B, L, heads · v_size] -> output [B, S, heads · v_size].
/// present [B, heads, past + L, size].
void infer_multi_head_attention(onnx::InferenceContext& context) {
  const NodeShapes shapes(context, "MultiHeadAttention");
  const std::int64_t heads = shapes.positive("num_heads", 0);
  shapes.expect_both(1, "key", 2, "value");
  shapes.expect_both(6, "past_key", 7, "past_value");
  if (!shapes.has(1)) shapes.fail("key and value are left out; query, key and value are expected apart");
  shapes.output_type(0, 0);
  shapes.output_type(1, 0);
  shapes.output_type(2, 0);
  shapes.expect_rank(0, "query", 3, "[batch_size, sequence_length, num_heads * head_size]");
  shapes.expect_rank(1, "key", 3, "[batch_size, kv_sequence_length, num_heads * head_size]");
  shapes.expect_rank(2, "value", 3, "[batch_size, kv_sequence_length, num_heads * v_head_size]");
  if (!shapes.ranked(0) || !shapes.ranked(1) || !shapes.ranked(2)) return;

  const std::vector<OnnxDim> query = shapes.dims(0);
  const OnnxDim& batch = query[0];
  const OnnxDim kv_length = shapes.dims(1)[1];
  const OnnxDim v_width = shapes.dims(2)[2];
  shapes.expect(1, "key", {batch, unknown(), query[2]}, "[batch_size, kv_sequence_length, num_heads * head_size]");
  shapes.expect(2, "value", {batch, kv_length, unknown()}, "[batch_size, kv_sequence_length, num_heads * v_head_size]");
  const OnnxDim size = head_size_of(shapes, "query", query[2], heads);
  const OnnxDim v_size = head_size_of(shapes, "value", v_width, heads);
  const bool widths_known = query[2].has_dim_value() && v_width.has_dim_value();
  shapes.expect(3, "bias", {widths_known ? known(2 * query[2].dim_value() + v_width.dim_value()) : unknown()},
                "[the widths of query, key and value together]");
  shapes.expect_rank(5, "attention_bias", 4, "[batch_size or 1, num_heads or 1, sequence_length, total]");
  shapes.expect(6, "past_key", {batch, known(heads), unknown(), size},
                "[batch_size, num_heads, past_sequence_length, head_size]");
  const OnnxDim past = shapes.ranked(6) ? shapes.dims(6)[2] : known(0);
  shapes.expect(7, "past_value", {batch, known(heads), past, v_size},
                "[batch_size, num_heads, past_sequence_length, v_head_size]");

  const bool total_known = past.has_dim_value() && kv_length.has_dim_value();
  const OnnxDim total = total_known ? known(past.dim_value() + kv_length.dim_value()) : unknown();
  shapes.output(0, 0, {batch, query[1], v_width});
  shapes.output(1, 0, {batch, known(heads), total, size});
  shapes.output(2, 0, {batch, known(heads), total, v_size});
}

OpSchema multi_head_attention() {
  OpSchema schema;
  schema.SetName("MultiHeadAttention")
      .Attr("num_heads", "Heads of query, key and value.", AttributeProto::INT, true)
      .Attr("mask_filter_value", "The score of a masked key.", AttributeProto::FLOAT, -10000.0F)
      .Attr("scale", "Scale of the scores; 1 / sqrt(head_size) without it.", AttributeProto::FLOAT, false)
      .Attr("unidirectional", "Whether a query sees no later key.", AttributeProto::INT, std::int64_t{0})
      .Input(0, "query", "", "T")
      .Input(1, "key", "", "T", OpSchema::Optional)
      .Input(2, "value", "", "T", OpSchema::Optional)
      .Input(3, "bias", "", "T", OpSchema::Optional)
      .Input(4, "key_padding_mask", "", "M", OpSchema::Optional)
      .Input(5, "attention_bias", "", "T", OpSchema::Optional)
      .Input(6, "past_key", "", "T", OpSchema::Optional)
      .Input(7, "past_value", "", "T", OpSchema::Optional)
      .Output(0, "output", "", "T")
      .Output(1, "present_key", "", "T", OpSchema::Optional)
      .Output(2, "present_value", "", "T", OpSchema::Optional)
      .TypeConstraint("T", {"tensor(float)", "tensor(float16)"}, "")
      .TypeConstraint("M", {"tensor(int32)"}, "")
      .TypeAndShapeInferenceFunction(infer_multi_head_attention);
  return schema;
}

/// input [B, S, heads · size] or [B, heads, S, size], position_ids [1] or [B, S], caches [max, rotary_dim / 2].
void infer_rotary_embedding(onnx::InferenceContext& context) {
  const NodeShapes shapes(context, "RotaryEmbedding");
  const OnnxDim width = cache_width(shapes, 2, 3);
  const std::int64_t heads = shapes.integer("num_heads", 0);
  const std::int64_t rotary_dim = shapes.integer("rotary_embedding_dim", 0);
  if (rotary_dim > 0 && heads == 0)
    shapes.fail(fmt::format("rotary_embedding_dim is {} without num_heads", rotary_dim));
  shapes.output_type(0, 0);
  if (!shapes.ranked(0)) return;
  const std::vector<OnnxDim> input = shapes.dims(0);
  if (input.size() != 3 && input.size() != 4)
    shapes.fail(fmt::format("input is {}, expected rank 3 or 4", to_string(input)));
  const bool split = input.size() == 4;
  if (split && heads > 0 && !may_be_equal(input[1], known(heads)))
    shapes.fail(fmt::format("input is {}, expected num_heads = {} heads in dimension 1", to_string(input), heads));

  if (shapes.ranked(1) && shapes.dims(1).size() != 2)
    shapes.expect(1, "position_ids", {known(1)}, "[1] or [batch_size, sequence_length]");
  else
    shapes.expect(1, "position_ids", {input[0], split ? input[2] : input[1]}, "[batch_size, sequence_length]");

  OnnxDim size = split ? input[3] : unknown();
  if (!split && heads > 0) size = head_size_of(shapes, "input", input[2], heads);
  if (size.has_dim_value() && rotary_dim > size.dim_value())
    shapes.fail(
        fmt::format("rotary_embedding_dim is {}, expected at most head_size = {}", rotary_dim, size.dim_value()));
  const OnnxDim rotated = rotary_dim > 0 ? known(rotary_dim) : size;
  if (rotated.has_dim_value() && width.has_dim_value() && width.dim_value() * 2 != rotated.dim_value())
    shapes.fail(fmt::format("cos_cache is {} wide, expected half of the {} rotated values of a head", width.dim_value(),
                            rotated.dim_value()));
  shapes.output(0, 0, input);
}

OpSchema rotary_embedding() {
  OpSchema schema;
  schema.SetName("RotaryEmbedding")
      .Attr("interleaved", "Whether rotated pairs are neighbours.", AttributeProto::INT, std::int64_t{0})
      .Attr("rotary_embedding_dim", "Rotated values of a head; 0 is all.", AttributeProto::INT, std::int64_t{0})
      .Attr("num_heads", "Heads of the input.", AttributeProto::INT, std::int64_t{0})
      .Attr("scale", "Scale of the positions.", AttributeProto::FLOAT, 1.0F)
      .Input(0, "input", "", "T")
      .Input(1, "position_ids", "", "M")
      .Input(2, "cos_cache", "", "T")
      .Input(3, "sin_cache", "", "T")
      .Output(0, "output", "", "T")
      .TypeConstraint("T", {"tensor(float)", "tensor(float16)", "tensor(bfloat16)"}, "")
      .TypeConstraint("M", {"tensor(int64)"}, "")
      .TypeAndShapeInferenceFunction(infer_rotary_embedding);
  return schema;
}

}  // namespace

std::vector<OpSchema> attention_schemas() {
  return {group_query_attention(), multi_head_attention(), rotary_embedding()};
}

}  // namespace q3vl
