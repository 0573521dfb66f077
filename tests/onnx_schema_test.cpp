// The operator schemas and the check of written files. Models are written in ONNX's text form; expected shapes and
// messages are worked out by hand from ONNX Runtime's operator documentation.
#include <gtest/gtest.h>
#include <onnx/checker.h>
#include <onnx/defs/parser.h>
#include <onnx/shape_inference/implementation.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "onnx/contrib_schemas.h"
#include "onnx/lone_matrices.h"
#include "onnx/model_probe.h"
#include "onnx/model_summary.h"
#include "onnx/onnx_check.h"
#include "qwen3vl_export/error.h"
#include "support/refusal.h"

namespace q3vl::serialize_schema_test {
namespace {

namespace fs = std::filesystem;

onnx::ModelProto parse(const std::string& graph) {
  onnx::ModelProto model;
  const std::string text = R"(<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]> )" + graph;
  onnx::OnnxParser parser(text.c_str());
  const auto status = parser.Parse(model);
  if (!status.IsOK()) throw std::runtime_error(status.ErrorMessage());
  return model;
}

std::string describe(const onnx::ValueInfoProto& value) {
  const auto& tensor = value.type().tensor_type();
  std::string text = value.name() + ": " + onnx::TensorProto::DataType_Name(tensor.elem_type());
  if (!tensor.has_shape()) return text;
  text += "[";
  for (int i = 0; i < tensor.shape().dim_size(); ++i) {
    const auto& dim = tensor.shape().dim(i);
    text += i == 0 ? "" : ", ";
    if (dim.has_dim_value())
      text += std::to_string(dim.dim_value());
    else
      text += dim.dim_param().rfind("unk__", 0) == 0 ? "?" : dim.dim_param();
  }
  return text + "]";
}

/// What strict inference says about one node: "Y: FLOAT[2, 3]" for each output, or the message of the rule it breaks.
std::string infer(const std::string& inputs, const std::string& node) {
  q3vl::register_contrib_schemas();
  onnx::ModelProto model = parse("g (" + inputs + ") => () { " + node + " }");
  try {
    onnx::checker::CheckerContext context;
    context.set_ir_version(8);
    context.set_opset_imports({{"", 17}, {"com.microsoft", 1}});
    onnx::checker::LexicalScopeContext scope;
    onnx::checker::check_graph(model.graph(), context, scope);
    onnx::shape_inference::InferShapes(model, onnx::OpSchemaRegistry::Instance(),
                                       onnx::ShapeInferenceOptions(true, 1, true));
  } catch (const std::exception& error) {
    std::string message = error.what();
    if (const auto bracket = message.rfind("Error] "); bracket != std::string::npos)
      message = message.substr(bracket + 7);
    return message.substr(0, message.find('\n'));
  }
  std::string result;
  for (const auto& value : model.graph().value_info()) result += (result.empty() ? "" : "; ") + describe(value);
  return result;
}

/// A correct node, and the outcome when one part of its text is replaced.
struct Case {
  std::string inputs;
  std::string node;

  std::string good() const { return infer(inputs, node); }
  std::string with(const std::string& part, const std::string& replacement) const {
    Case changed = *this;
    for (std::string* text : {&changed.inputs, &changed.node}) {
      const auto at = text->find(part);
      if (at == std::string::npos) continue;
      text->replace(at, part.size(), replacement);
      return changed.good();
    }
    return "the test does not contain " + part;
  }
};

const Case kMatMulNBits{"float[B,3,70] A, uint8[8,3,16] W, float[8,3] scales, uint8[8,2] zeros, float[8] bias",
                        "Y = com.microsoft.MatMulNBits<K=70,N=8,bits=4,block_size=32,accuracy_level=4>"
                        "(A, W, scales, zeros, , bias)"};

TEST(MatMulNBits, Infers) {
  EXPECT_EQ(kMatMulNBits.good(), "Y: FLOAT[B, 3, 8]");
  EXPECT_EQ(kMatMulNBits.with("scales, zeros, , bias)", "scales)"), "Y: FLOAT[B, 3, 8]");
  EXPECT_EQ(kMatMulNBits.with("uint8[8,2] zeros", "float[8,3] zeros"), "Y: FLOAT[B, 3, 8]");
  EXPECT_EQ(infer("float16[5,64] A, uint8[8,2,32] W, float16[8,2] scales",
                  "Y = com.microsoft.MatMulNBits<K=64,N=8,bits=8,block_size=32>(A, W, scales)"),
            "Y: FLOAT16[5, 8]");
}

TEST(MatMulNBits, HoldsItsRules) {
  const Case& c = kMatMulNBits;
  EXPECT_EQ(c.with("[B,3,70]", "[B,3,64]"), "MatMulNBits: A is [B, 3, 64], expected a last dimension of K = 70");
  EXPECT_EQ(c.with("[8,3,16]", "[8,2,16]"),
            "MatMulNBits: B is [8, 2, 16], expected [8, 3, 16]: [N, ceil(K / block_size), block_size * bits / 8]");
  EXPECT_EQ(c.with("[8,3,16]", "[8,48]"),
            "MatMulNBits: B is [8, 48], expected [8, 3, 16]: [N, ceil(K / block_size), block_size * bits / 8]");
  EXPECT_EQ(c.with("bits=4", "bits=8"),
            "MatMulNBits: B is [8, 3, 16], expected [8, 3, 32]: [N, ceil(K / block_size), block_size * bits / 8]");
  EXPECT_EQ(c.with("float[8,3] scales", "float[8,2] scales"),
            "MatMulNBits: scales is [8, 2], expected [8, 3]: [N, ceil(K / block_size)]");
  EXPECT_EQ(c.with("uint8[8,2] zeros", "uint8[8,3] zeros"),
            "MatMulNBits: zero_points is [8, 3], expected [8, 2]: [N, ceil(ceil(K / block_size) * bits / 8)]");
  EXPECT_EQ(c.with("uint8[8,2] zeros", "float[8,2] zeros"),
            "MatMulNBits: zero_points is [8, 2], expected [8, 3]: [N, ceil(K / block_size)]");
  EXPECT_EQ(c.with("float[8] bias", "float[7] bias"), "MatMulNBits: bias is [7], expected [8]: [N]");
  EXPECT_EQ(c.with("bits=4", "bits=3"), "MatMulNBits: bits is 3, expected 2, 4 or 8");
  EXPECT_EQ(c.with("block_size=32", "block_size=48"), "MatMulNBits: block_size is 48, expected 16, 32, 64, 128 or 256");
  EXPECT_EQ(c.with("accuracy_level=4", "accuracy_level=5"), "MatMulNBits: accuracy_level is 5, expected 0 to 4");
  EXPECT_EQ(c.with("K=70", "K=0"), "MatMulNBits: K is 0, expected 1 or more");
  EXPECT_EQ(c.with("N=8", "M=8"), "Unrecognized attribute: M for operator MatMulNBits");
  EXPECT_EQ(c.with("K=70,", ""), "Required attribute 'K' is missing.");
  EXPECT_EQ(c.with("uint8[8,3,16] W", "int8[8,3,16] W"),
            "(op_type:MatMulNBits): B typestr: T2, has unsupported type: tensor(int8)");
  EXPECT_EQ(c.with("float[8,3] scales", "float16[8,3] scales"),
            "(op_type:MatMulNBits): scales has inconsistent type tensor(float16)");
}

const Case kGather{"uint8[100,32] data, int64[B,7] ids, float[100,2] scales, uint8[100,1] zeros",
                   "Y = com.microsoft.GatherBlockQuantized<bits=4,block_size=32,gather_axis=0,quantize_axis=1>"
                   "(data, ids, scales, zeros)"};

TEST(GatherBlockQuantized, Infers) {
  EXPECT_EQ(kGather.good(), "Y: FLOAT[B, 7, 64]");
  EXPECT_EQ(kGather.with("scales, zeros)", "scales)"), "Y: FLOAT[B, 7, 64]");
  EXPECT_EQ(kGather.with("int64[B,7]", "int32[9]"), "Y: FLOAT[9, 64]");
  EXPECT_EQ(infer("uint8[100,64] data, int64[B,7] ids, float16[100,2] scales",
                  "Y = com.microsoft.GatherBlockQuantized<bits=8,block_size=32>(data, ids, scales)"),
            "Y: FLOAT16[B, 7, 64]");
}

TEST(GatherBlockQuantized, HoldsItsRules) {
  const Case& c = kGather;
  EXPECT_EQ(c.with("float[100,2]", "float[100,3]"),
            "GatherBlockQuantized: scales is [100, 3], expected [100, 2]: data's sizes, the last one "
            "ceil(K / block_size)");
  EXPECT_EQ(c.with("uint8[100,1]", "uint8[100,2]"),
            "GatherBlockQuantized: zero_points is [100, 2], expected [100, 1]: data's sizes, the last one "
            "ceil(ceil(K / block_size) * bits / 8)");
  EXPECT_EQ(c.with("gather_axis=0", "gather_axis=1"),
            "GatherBlockQuantized: gather_axis is 1, expected 0 for data of uint8");
  EXPECT_EQ(c.with("quantize_axis=1", "quantize_axis=0"),
            "GatherBlockQuantized: quantize_axis is 0, expected the last, 1, for data of uint8");
  EXPECT_EQ(c.with("[100,32] data", "[100] data"), "GatherBlockQuantized: data is [100], expected rank 2 or more");
  EXPECT_EQ(c.with("bits=4", "bits=5"), "GatherBlockQuantized: bits is 5, expected 2, 4 or 8");
  EXPECT_EQ(c.with("block_size=32", "block_size=8"),
            "GatherBlockQuantized: block_size is 8, expected 16, 32, 64, 128 or 256");
  EXPECT_EQ(c.with("int64[B,7]", "float[B,7]"),
            "(op_type:GatherBlockQuantized): indices typestr: Tind, has unsupported type: tensor(float)");
}

TEST(FusedMatMul, InfersAndHoldsItsRules) {
  const Case c{"float[B,3,64] A, float[8,64] W", "Y = com.microsoft.FusedMatMul<alpha=0.5,transA=0,transB=1>(A, W)"};
  EXPECT_EQ(c.good(), "Y: FLOAT[B, 3, 8]");
  EXPECT_EQ(c.with("transB=1", "transB=0"),
            "FusedMatMul: the inner sizes differ: op(A) is [B, 3, 64], op(B) is [8, 64]");
  EXPECT_EQ(infer("float[4,64,3] A, float[4,64,8] W", "Y = com.microsoft.FusedMatMul<transA=1>(A, W)"),
            "Y: FLOAT[4, 3, 8]");
  EXPECT_EQ(c.with("[B,3,64]", "[64]"), "FusedMatMul: A is [64], expected rank 2 or more");
  EXPECT_EQ(c.with("float[8,64]", "float[64]"), "FusedMatMul: B is [64], expected rank 2 or more");
  EXPECT_EQ(c.with("float[8,64] W", "double[8,64] W"), "(op_type:FusedMatMul): B has inconsistent type tensor(double)");
}

TEST(QGemm, InfersAndHoldsItsRules) {
  const Case c{"uint8[M,64] A, float a, uint8 z, int8[8,64] W, float[8] s, int8[8] o",
               "Y = com.microsoft.QGemm<transB=1>(A, a, z, W, s, o)"};
  EXPECT_EQ(c.good(), "Y: FLOAT[M, 8]");
  EXPECT_EQ(c.with("transB=1", "transB=0"), "QGemm: the inner sizes differ: A is [M, 64], op(B) is [8, 64]");
  EXPECT_EQ(c.with("transB=1", "transA=1,transB=1"), "QGemm: transA is not 0");
  EXPECT_EQ(c.with("uint8[M,64]", "uint8[M,2,64]"),
            "QGemm: A is [M, 2, 64] and B is [8, 64], expected rank 2 for both");
  EXPECT_EQ(c.with("float[8] s", "float[9] s"), "QGemm: b_scale is [9], expected [8]: [N]");
  EXPECT_EQ(c.with("int8[8] o", "int8 o"), "QGemm: b_zero_point is [], expected [8]: [N]");
  EXPECT_EQ(c.with("uint8[M,64] A", "float[M,64] A"),
            "(op_type:QGemm): A typestr: TA, has unsupported type: tensor(float)");
}

TEST(SkipSimplifiedLayerNormalization, InfersAndHoldsItsRules) {
  const Case c{"float[B,S,64] x, float[B,S,64] skip, float[64] gamma",
               "Y, , , sum = com.microsoft.SkipSimplifiedLayerNormalization<epsilon=0.000001>(x, skip, gamma)"};
  EXPECT_EQ(c.good(), "Y: FLOAT[B, S, 64]; sum: FLOAT[B, S, 64]");
  EXPECT_EQ(c.with("Y, , , sum", "Y, mean, inverse"),
            "Y: FLOAT[B, S, 64]; mean: FLOAT[B, S, 1]; inverse: FLOAT[B, S, 1]");
  EXPECT_EQ(c.with("float[B,S,64] skip", "float[B,S,32] skip"),
            "SkipSimplifiedLayerNormalization: skip is [B, S, 32], expected [B, S, 64]: input's shape");
  EXPECT_EQ(c.with("float[64] gamma", "float[32] gamma"),
            "SkipSimplifiedLayerNormalization: gamma is [32], expected [64]: [hidden_size]");
  EXPECT_EQ(c.with("float[B,S,64] x", "float[1,B,S,64] x"),
            "SkipSimplifiedLayerNormalization: input is [1, B, S, 64], expected rank 2 or 3");
  EXPECT_EQ(infer("float[S,64] x, float[S,64] skip, float[64] gamma, float[63] bias",
                  "Y = com.microsoft.SkipSimplifiedLayerNormalization(x, skip, gamma, bias)"),
            "SkipSimplifiedLayerNormalization: bias is [63], expected [64]: [hidden_size]");
}

TEST(SimplifiedLayerNormalization, InfersAndHoldsItsRules) {
  const Case c{"float[B,S,64] x, float[64] gamma",
               "Y, inverse = SimplifiedLayerNormalization<axis=-1,epsilon=0.000001,stash_type=1>(x, gamma)"};
  EXPECT_EQ(c.good(), "Y: FLOAT[B, S, 64]; inverse: FLOAT[B, S, 1]");
  EXPECT_EQ(c.with("float[64]", "float[32]"),
            "SimplifiedLayerNormalization: scale is [32], expected [64]: X's sizes from axis on");
  EXPECT_EQ(c.with("axis=-1", "axis=3"), "SimplifiedLayerNormalization: axis is 3, X is [B, S, 64]");
  EXPECT_EQ(infer("float[B,4,64] x, float[4,64] gamma", "Y, inverse = SimplifiedLayerNormalization<axis=1>(x, gamma)"),
            "Y: FLOAT[B, 4, 64]; inverse: FLOAT[B, 1, 1]");
}

TEST(Gelus, InferAndHoldTheirRules) {
  EXPECT_EQ(infer("float[B,8] x, float[8] bias", "Y = com.microsoft.FastGelu(x, bias)"), "Y: FLOAT[B, 8]");
  EXPECT_EQ(infer("float16[B,8] x", "Y = com.microsoft.FastGelu(x)"), "Y: FLOAT16[B, 8]");
  EXPECT_EQ(infer("float[B,8] x, float[7] bias", "Y = com.microsoft.FastGelu(x, bias)"),
            "FastGelu: bias is [7], expected [8]: X's last size");
  EXPECT_EQ(infer("float[B,8] x", "Y = com.microsoft.Gelu(x)"), "Y: FLOAT[B, 8]");
  EXPECT_EQ(infer("float[B,8] x", "Y = com.microsoft.QuickGelu<alpha=1.0>(x)"), "Y: FLOAT[B, 8]");
  EXPECT_EQ(infer("int64[B,8] x", "Y = com.microsoft.Gelu(x)"),
            "(op_type:Gelu): X typestr: T, has unsupported type: tensor(int64)");
  EXPECT_EQ(infer("float[B,8] x", "Y = com.microsoft.QuickGelu<beta=1.0>(x)"),
            "Unrecognized attribute: beta for operator QuickGelu");
}

const Case kGqa{
    "float[B,S,128] q, float[B,S,64] k, float[B,S,64] v, float[B,2,P,32] pk, float[B,2,P,32] pv, "
    "int32[B] lens, int32 total",
    "Y, nk, nv = com.microsoft.GroupQueryAttention<num_heads=4,kv_num_heads=2,scale=0.17677669>"
    "(q, k, v, pk, pv, lens, total)"};

TEST(GroupQueryAttention, Infers) {
  EXPECT_EQ(kGqa.good(), "Y: FLOAT[B, S, 128]; nk: FLOAT[B, 2, ?, 32]; nv: FLOAT[B, 2, ?, 32]");
  EXPECT_EQ(kGqa.with("int32 total", "int32[1] total"),
            "Y: FLOAT[B, S, 128]; nk: FLOAT[B, 2, ?, 32]; nv: FLOAT[B, 2, ?, 32]");
  EXPECT_EQ(infer("float16[B,S,256] qkv, int32[B] lens, int32 total",
                  "Y, nk, nv = com.microsoft.GroupQueryAttention<num_heads=4,kv_num_heads=2>"
                  "(qkv, , , , , lens, total)"),
            "Y: FLOAT16[B, S, 128]; nk: FLOAT16[B, 2, ?, 32]; nv: FLOAT16[B, 2, ?, 32]");
}

TEST(GroupQueryAttention, HoldsItsRules) {
  const Case& c = kGqa;
  EXPECT_EQ(c.with("[B,S,128] q", "[B,S,4,32] q"),
            "GroupQueryAttention: query is [B, S, 4, 32], expected rank 3: "
            "[batch_size, sequence_length, num_heads * head_size]");
  EXPECT_EQ(c.with("[B,S,128] q", "[B,S,126] q"),
            "GroupQueryAttention: query is 126 wide, expected a multiple of its 4 heads");
  EXPECT_EQ(c.with("[B,S,128] q", "[B,S,144] q"), "GroupQueryAttention: head_size is 36, expected a multiple of 8");
  EXPECT_EQ(c.with("[B,S,64] k", "[B,S,128] k"),
            "GroupQueryAttention: key is [B, S, 128], expected [B, S, 64]: "
            "[batch_size, sequence_length, kv_num_heads * head_size]");
  EXPECT_EQ(c.with("[B,S,64] v", "[B,S,32] v"),
            "GroupQueryAttention: value is [B, S, 32], expected [B, S, 64]: "
            "[batch_size, sequence_length, kv_num_heads * head_size]");
  EXPECT_EQ(c.with("[B,2,P,32] pk", "[B,P,2,32] pk"), c.good()) << "symbols may be equal";
  EXPECT_EQ(c.with("[B,2,P,32] pk", "[B,4,P,32] pk"),
            "GroupQueryAttention: past_key is [B, 4, P, 32], expected [B, 2, ?, 32]: "
            "[batch_size, kv_num_heads, past_sequence_length, head_size]");
  EXPECT_EQ(c.with("[B,2,P,32] pv", "[B,2,P,16] pv"),
            "GroupQueryAttention: past_value is [B, 2, P, 16], expected [B, 2, P, 32]: "
            "[batch_size, kv_num_heads, past_sequence_length, head_size]");
  EXPECT_EQ(c.with("int32[B] lens", "int64[B] lens"),
            "(op_type:GroupQueryAttention): seqlens_k typestr: M, has unsupported type: tensor(int64)");
  EXPECT_EQ(c.with("int32[B] lens", "int32[B,1] lens"),
            "GroupQueryAttention: seqlens_k is [B, 1], expected [B]: [batch_size]");
  EXPECT_EQ(c.with("int32 total", "int32[2] total"),
            "GroupQueryAttention: total_sequence_length is [2], expected [1]: a scalar");
  EXPECT_EQ(c.with("kv_num_heads=2", "kv_num_heads=3"),
            "GroupQueryAttention: num_heads is 4, expected a multiple of kv_num_heads = 3");
  EXPECT_EQ(c.with("num_heads=4,", "num_heads=0,"), "GroupQueryAttention: num_heads is 0, expected 1 or more");
  EXPECT_EQ(c.with("k, v, pk", "k, , pk"), "GroupQueryAttention: key is given without value");
  EXPECT_EQ(c.with("pk, pv, lens", ", pv, lens"), "GroupQueryAttention: past_value is given without past_key");
  EXPECT_EQ(c.with(", total)", ")"), "Node () has input size 6 not in range [min=7, max=14].");
}

TEST(GroupQueryAttention, HoldsTheRulesOfAnInt8Cache) {
  const Case c{
      "float[B,S,128] q, float[B,S,64] k, float[B,S,64] v, int8[B,2,P,32] pk, int8[B,2,P,32] pv, "
      "int32[B] lens, int32 total, float[1,2,1,32] ks, float[1,2,1,32] vs",
      "Y, nk, nv = com.microsoft.GroupQueryAttention<num_heads=4,kv_num_heads=2,k_quant_type=\"PER_CHANNEL\","
      "v_quant_type=\"PER_CHANNEL\",kv_cache_bit_width=8>(q, k, v, pk, pv, lens, total, , , , , , ks, vs)"};
  EXPECT_EQ(c.good(), "Y: FLOAT[B, S, 128]; nk: INT8[B, 2, ?, 32]; nv: INT8[B, 2, ?, 32]");
  EXPECT_EQ(c.with("float[1,2,1,32] ks", "float[2,32] ks"),
            "GroupQueryAttention: k_scale is [2, 32], expected [1, 2, 1, 32]: [1, kv_num_heads, 1, head_size]");
  EXPECT_EQ(c.with("float[1,2,1,32] vs", "float[1] vs"),
            "GroupQueryAttention: v_scale is [1], expected [1, 2, 1, 32]: [1, kv_num_heads, 1, head_size]");
  EXPECT_EQ(c.with("ks, vs)", "ks)"), "GroupQueryAttention: k_scale is given without v_scale");
  EXPECT_EQ(c.with(", , , , , , ks, vs)", ")"), "GroupQueryAttention: k_quant_type is PER_CHANNEL without k_scale");
  EXPECT_EQ(c.with("v_quant_type=\"PER_CHANNEL\",", ""),
            "GroupQueryAttention: k_quant_type is PER_CHANNEL and v_quant_type NONE, expected the same");
  EXPECT_EQ(c.with("width=8", "width=4"), "GroupQueryAttention: kv_cache_bit_width is 4, expected 8");
  EXPECT_EQ(c.with("int8[B,2,P,32] pv", "float[B,2,P,32] pv"),
            "(op_type:GroupQueryAttention): past_value has inconsistent type tensor(float)");
  EXPECT_EQ(c.with("int8[B,2,P,32] pk, int8[B,2,P,32] pv", "float[B,2,P,32] pk, float[B,2,P,32] pv"),
            "GroupQueryAttention: past_key is not int8, but has a k_scale");
  EXPECT_EQ(kGqa.with("float[B,2,P,32] pk, float[B,2,P,32] pv", "int8[B,2,P,32] pk, int8[B,2,P,32] pv"),
            "GroupQueryAttention: past_key is int8 without k_scale");
  Case tensor = c;
  tensor.node =
      "Y, nk, nv = com.microsoft.GroupQueryAttention<num_heads=4,kv_num_heads=2,k_quant_type=\"PER_TENSOR\","
      "v_quant_type=\"PER_TENSOR\">(q, k, v, pk, pv, lens, total, , , , , , ks, vs)";
  EXPECT_EQ(tensor.good(), "GroupQueryAttention: k_scale is [1, 2, 1, 32], expected [1]: one scale");
  tensor.inputs.replace(tensor.inputs.find("float[1,2,1,32] ks"), 42, "float[1] ks, float[1] vs");
  EXPECT_EQ(tensor.good(), c.good());
  EXPECT_EQ(tensor.with("k_quant_type=\"PER_TENSOR\",v_quant_type=\"PER_TENSOR\"",
                        "k_quant_type=\"PER_HEAD\",v_quant_type=\"PER_HEAD\""),
            "GroupQueryAttention: k_quant_type is PER_HEAD, expected NONE, PER_TENSOR or PER_CHANNEL");
}

TEST(GroupQueryAttention, HoldsTheRulesOfItsRotary) {
  Case c = kGqa;
  c.inputs += ", float[4096,16] cos, float[4096,16] sin, int64[B,S] pos";
  c.node =
      "Y, nk, nv = com.microsoft.GroupQueryAttention<num_heads=4,kv_num_heads=2,do_rotary=1>"
      "(q, k, v, pk, pv, lens, total, cos, sin, pos)";
  EXPECT_EQ(c.good(), kGqa.good());
  EXPECT_EQ(c.with("cos, sin, pos", "cos, , pos"), "GroupQueryAttention: cos_cache is given without sin_cache");
  EXPECT_EQ(c.with("cos, sin, pos", ", , pos"), "GroupQueryAttention: do_rotary is 1 without cos_cache");
  EXPECT_EQ(c.with("float[4096,16] sin", "float[4096,8] sin"),
            "GroupQueryAttention: sin_cache is [4096, 8], expected [4096, 16]: cos_cache's shape");
  Case wide = c;
  wide.inputs.replace(wide.inputs.find("float[4096,16] cos"), 18, "float[4096,32] cos");
  EXPECT_EQ(wide.with("float[4096,16] sin", "float[4096,32] sin"),
            "GroupQueryAttention: cos_cache is 32 wide, expected a multiple of 8 up to head_size / 2 = 16");
  EXPECT_EQ(c.with("int64[B,S] pos", "int64[3,B,S] pos"),
            "GroupQueryAttention: position_ids is [3, B, S], expected [B, S]: [batch_size, sequence_length]");
}

const Case kMha{"float[B,S,64] q, float[B,L,64] k, float[B,L,96] v",
                "Y = com.microsoft.MultiHeadAttention<num_heads=4,scale=0.25>(q, k, v)"};

TEST(MultiHeadAttention, Infers) {
  EXPECT_EQ(kMha.good(), "Y: FLOAT[B, S, 96]");
  EXPECT_EQ(infer("float[1,5,64] q, float[1,5,64] k, float[1,5,64] v, float[1,4,3,16] pk, float[1,4,3,16] pv",
                  "Y, nk, nv = com.microsoft.MultiHeadAttention<num_heads=4>(q, k, v, , , , pk, pv)"),
            "Y: FLOAT[1, 5, 64]; nk: FLOAT[1, 4, 8, 16]; nv: FLOAT[1, 4, 8, 16]");
}

TEST(MultiHeadAttention, HoldsItsRules) {
  const Case& c = kMha;
  EXPECT_EQ(c.with("float[B,L,64] k", "float[B,L,32] k"),
            "MultiHeadAttention: key is [B, L, 32], expected [B, ?, 64]: "
            "[batch_size, kv_sequence_length, num_heads * head_size]");
  EXPECT_EQ(c.with("float[B,S,64] q", "float[S,64] q"),
            "MultiHeadAttention: query is [S, 64], expected rank 3: "
            "[batch_size, sequence_length, num_heads * head_size]");
  EXPECT_EQ(c.with("num_heads=4", "num_heads=5"),
            "MultiHeadAttention: query is 64 wide, expected a multiple of its 5 heads");
  EXPECT_EQ(c.with("(q, k, v)", "(q, k)"), "MultiHeadAttention: key is given without value");
  EXPECT_EQ(c.with("(q, k, v)", "(q)"),
            "MultiHeadAttention: key and value are left out; query, key and value are expected apart");
  EXPECT_EQ(infer("float[1,5,64] q, float[1,5,64] k, float[1,6,64] v",
                  "Y = com.microsoft.MultiHeadAttention<num_heads=4>(q, k, v)"),
            "MultiHeadAttention: value is [1, 6, 64], expected [1, 5, ?]: "
            "[batch_size, kv_sequence_length, num_heads * v_head_size]");
  EXPECT_EQ(infer("float[B,S,64] q, float[B,S,64] k, float[B,S,64] v, float[64] bias",
                  "Y = com.microsoft.MultiHeadAttention<num_heads=4>(q, k, v, bias)"),
            "MultiHeadAttention: bias is [64], expected [192]: [the widths of query, key and value together]");
  EXPECT_EQ(infer("float[B,S,64] q, float[B,S,64] k, float[B,S,64] v, float[B,4,P,8] pk, float[B,4,P,16] pv",
                  "Y = com.microsoft.MultiHeadAttention<num_heads=4>(q, k, v, , , , pk, pv)"),
            "MultiHeadAttention: past_key is [B, 4, P, 8], expected [B, 4, ?, 16]: "
            "[batch_size, num_heads, past_sequence_length, head_size]");
}

const Case kRotary{"float[B,4,S,32] x, int64[B,S] pos, float[N,16] cos, float[N,16] sin",
                   "Y = com.microsoft.RotaryEmbedding<num_heads=4,rotary_embedding_dim=32>(x, pos, cos, sin)"};

TEST(RotaryEmbedding, Infers) {
  EXPECT_EQ(kRotary.good(), "Y: FLOAT[B, 4, S, 32]");
  EXPECT_EQ(kRotary.with("int64[B,S] pos", "int64[1] pos"), "Y: FLOAT[B, 4, S, 32]");
  EXPECT_EQ(kRotary.with("[B,4,S,32] x", "[B,S,128] x"), "Y: FLOAT[B, S, 128]");
}

TEST(RotaryEmbedding, HoldsItsRules) {
  const Case& c = kRotary;
  EXPECT_EQ(c.with("[B,4,S,32] x", "[S,32] x"), "RotaryEmbedding: input is [S, 32], expected rank 3 or 4");
  EXPECT_EQ(c.with("[B,4,S,32] x", "[B,2,S,32] x"),
            "RotaryEmbedding: input is [B, 2, S, 32], expected num_heads = 4 heads in dimension 1");
  EXPECT_EQ(c.with("int64[B,S] pos", "int64[3,B,S] pos"),
            "RotaryEmbedding: position_ids is [3, B, S], expected [1]: [1] or [batch_size, sequence_length]");
  EXPECT_EQ(c.with("int64[B,S] pos", "int32[B,S] pos"),
            "(op_type:RotaryEmbedding): position_ids typestr: M, has unsupported type: tensor(int32)");
  EXPECT_EQ(c.with("float[N,16] cos", "float[N,1,16] cos"),
            "RotaryEmbedding: cos_cache is [N, 1, 16], expected rank 2: [max_sequence_length, rotary_dim / 2]");
  EXPECT_EQ(c.with("float[N,16] sin", "float[N,32] sin"),
            "RotaryEmbedding: sin_cache is [N, 32], expected [N, 16]: cos_cache's shape");
  EXPECT_EQ(c.with("rotary_embedding_dim=32", "rotary_embedding_dim=64"),
            "RotaryEmbedding: rotary_embedding_dim is 64, expected at most head_size = 32");
  EXPECT_EQ(c.with("rotary_embedding_dim=32", "rotary_embedding_dim=16"),
            "RotaryEmbedding: cos_cache is 16 wide, expected half of the 16 rotated values of a head");
  EXPECT_EQ(c.with("num_heads=4,", ""), "RotaryEmbedding: rotary_embedding_dim is 32 without num_heads");
}

TEST(RegisterContribSchemas, MayBeCalledFromManyThreads) {
  std::array<std::thread, 4> threads;
  for (std::thread& thread : threads) thread = std::thread(q3vl::register_contrib_schemas);
  for (std::thread& thread : threads) thread.join();
  EXPECT_NE(onnx::OpSchemaRegistry::Schema("GroupQueryAttention", 1, "com.microsoft"), nullptr);
  EXPECT_NE(onnx::OpSchemaRegistry::Schema("SimplifiedLayerNormalization", 17, ""), nullptr);
}

/// A folder of one model file, gone with the object.
class ModelFolder {
 public:
  explicit ModelFolder(const onnx::ModelProto& model) {
    std::string name = (fs::temp_directory_path() / "q3vl_check_XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    std::ofstream(path(), std::ios::binary) << model.SerializeAsString();
  }
  ModelFolder(const ModelFolder&) = delete;
  ModelFolder& operator=(const ModelFolder&) = delete;
  ~ModelFolder() { fs::remove_all(folder_); }

  fs::path path() const { return folder_ / "model.onnx"; }

  /// The finding of the check, without the path that opens it; empty when there is none.
  std::string finding() const {
    try {
      q3vl::check_onnx_file(path());
    } catch (const q3vl::Error& error) {
      EXPECT_EQ(error.kind(), q3vl::ErrorKind::internal);
      const std::string message = error.what();
      const std::string opening = path().string() + ": is not valid ONNX: ";
      EXPECT_EQ(message.substr(0, opening.size()), opening);
      return message.substr(opening.size(), message.find('\n') - opening.size());
    }
    return "";
  }

 private:
  fs::path folder_;
};

std::string finding(const std::string& graph) {
  return ModelFolder(parse(graph)).finding();
}

TEST(CheckOnnxFile, HoldsTheOutputsAgainstTheGraph) {
  EXPECT_EQ(finding("g (float[B,8] x) => (float[B,8] Y) { Y = com.microsoft.Gelu(x) }"), "");
  EXPECT_EQ(finding("g (float[B,8] x) => (float[B,H] Y) { Y = com.microsoft.Gelu(x) }"),
            "output Y: is declared [B, H], computed [B, 8]");
  EXPECT_EQ(finding("g (float[B,8] x) => (float[B,9] Y) { Y = com.microsoft.Gelu(x) }"),
            "[ShapeInferenceError] (op_type:Gelu): [ShapeInferenceError] Inferred shape and existing shape differ in "
            "dimension 1: (8) vs (9)");
  EXPECT_EQ(finding("g (float[B,8] x) => (float[B,8,1] Y) { Y = com.microsoft.Gelu(x) }"),
            "[ShapeInferenceError] (op_type:Gelu): [ShapeInferenceError] Inferred shape and existing shape differ in "
            "rank: (2) vs (3)");
  EXPECT_EQ(finding("g (float[B,8] x) => (float16[B,8] Y) { Y = com.microsoft.Gelu(x) }"),
            "[ShapeInferenceError] (op_type:Gelu): [TypeInferenceError] Inferred elem type differs from existing elem "
            "type: (FLOAT) vs (FLOAT16)");
  // Inference cannot know this one, so the declaration is taken at its word.
  EXPECT_EQ(finding("g (float[B,8] x, int64[R] s) => (float[B,8] Y) { Y = Reshape(x, s) }"), "");
}

TEST(CheckOnnxFile, KnowsEveryOperator) {
  EXPECT_EQ(finding("g (float[B,8] x) => (float[B,8] Y) { Y = com.microsoft.Gello(x) }"),
            "node : there is no schema of Gello in domain \"com.microsoft\"");
  EXPECT_EQ(finding("g (float[B,8] x) => (float[B,8] Y) { Y = RMSNormalization(x) }"),
            "No Op registered for RMSNormalization with domain_version of 17");
}

/// A Loop over the rows of `grid` that collects pieces of x, of different lengths, in a sequence.
onnx::ModelProto loop_model(const std::string& piece = "piece = Slice(x, start, end, zero)") {
  onnx::ModelProto model = parse(R"(
    g (float[N,8] x, int64[I,3] grid) => (float[N,8] Y)
    {
      shape = Shape(grid)
      zero = Constant<value = int64[1] {0}>()
      one = Constant<value = int64[1] {1}>()
      trips = Gather<axis=0>(shape, zero)
      count = Squeeze(trips)
      yes = Constant<value = bool[1] {1}>()
      condition = Squeeze(yes)
      nothing = Constant<value = float[0,8] {}>()
      first = SequenceConstruct(nothing)
      pieces = Loop(count, condition, first)
      Y = ConcatFromSequence<axis=0>(pieces)
    })");
  onnx::GraphProto body;
  const std::string text = R"(
    body (int64 i, bool keep, float[L,8] before) => (bool keep_on, float[L,8] after)
    {
      keep_on = Identity(keep)
      start = Unsqueeze(i, zero)
      end = Add(start, one)
      )" + piece + R"(
      after = SequenceInsert(before, piece)
    })";
  onnx::OnnxParser parser(text.c_str());
  const auto status = parser.Parse(body);
  if (!status.IsOK()) throw std::runtime_error(status.ErrorMessage());
  for (auto* value : {body.mutable_input(2), body.mutable_output(1)}) {  // the text form knows no sequences
    const onnx::TypeProto tensor = value->type();
    *value->mutable_type()->mutable_sequence_type()->mutable_elem_type() = tensor;
  }
  for (onnx::NodeProto& node : *model.mutable_graph()->mutable_node()) {
    if (node.op_type() != "Loop") continue;
    onnx::AttributeProto* attribute = node.add_attribute();
    attribute->set_name("body");
    attribute->set_type(onnx::AttributeProto::GRAPH);
    *attribute->mutable_g() = body;
  }
  return model;
}

TEST(CheckOnnxFile, FollowsLoopsThatCarrySequences) {
  EXPECT_EQ(ModelFolder(loop_model()).finding(), "");
  EXPECT_EQ(ModelFolder(loop_model("piece = com.microsoft.Gelu(grid)")).finding(),
            "[ShapeInferenceError] (op_type:Gelu): X typestr: T, has unsupported type: tensor(int64)");
  EXPECT_EQ(ModelFolder(loop_model("piece = com.microsoft.RotaryEmbedding(x, start, x, x)")).finding(),
            "[ShapeInferenceError] Shape inference error(s): (op_type:RotaryEmbedding): [ShapeInferenceError] "
            "RotaryEmbedding: input is [N, 8], expected rank 3 or 4");
  EXPECT_EQ(ModelFolder(loop_model("piece = com.microsoft.Gello(x)")).finding(),
            "node : there is no schema of Gello in domain \"com.microsoft\"");
}

TEST(CheckOnnxFile, WantsTheExternalData) {
  onnx::ModelProto model = parse("g (float[B,8] x) => (float[B,8] Y) { Y = Add(x, w) }");
  onnx::TensorProto* weight = model.mutable_graph()->add_initializer();
  weight->set_name("w");
  weight->set_data_type(onnx::TensorProto::FLOAT);
  weight->add_dims(8);
  weight->set_data_location(onnx::TensorProto::EXTERNAL);
  for (const auto& [key, value] : {std::pair{"location", "model.data"}, {"offset", "64"}, {"length", "32"}}) {
    auto* entry = weight->add_external_data();
    entry->set_key(key);
    entry->set_value(value);
  }
  const ModelFolder folder(model);
  EXPECT_EQ(folder.finding().substr(0, 41), "Data of TensorProto ( tensor name: w) sho");
  std::ofstream(folder.path().parent_path() / "model.data") << std::string(96, 'x');
  EXPECT_EQ(folder.finding(), "");

  const q3vl::ModelSummary summary = q3vl::read_model_summary(folder.path());
  ASSERT_EQ(summary.initializers.size(), 1U);
  EXPECT_EQ(summary.initializers[0].name, "w");
  EXPECT_EQ(summary.initializers[0].type, q3vl::DataType::float32);
  EXPECT_EQ(summary.initializers[0].shape, q3vl::Shape{8});
  ASSERT_TRUE(summary.initializers[0].external);
  EXPECT_EQ(summary.initializers[0].external->location, "model.data");
  EXPECT_EQ(summary.initializers[0].external->offset, 64U);
  EXPECT_EQ(summary.initializers[0].external->length, 32U);
}

/// Every form that a decoder multiplies by, and products that no weight is in.
TEST(LoneMatrices, AreAllOfThemAndNothingElse) {
  onnx::ModelProto model = parse(R"(
    g (float[1,S,64] x, uint8[S,64] q, float a, uint8 z) => (float[S,16] Y, float[1,S,S] P)
    {
      s = Cast<to=1>(half)
      n = com.microsoft.MatMulNBits<K=64,N=16,bits=4,block_size=32>(x, b, s)
      wide = Cast<to=1>(w)
      m = com.microsoft.FusedMatMul<transB=1>(x, wide)
      i = com.microsoft.QGemm<transB=1>(q, a1, z1, c, cs, cz)
      g = com.microsoft.QuickGelu(i)
      Y = Add(g, g)
      P = com.microsoft.FusedMatMul<transB=1>(x, x)
    })");
  const auto weight = [&](const char* name, onnx::TensorProto::DataType type, const std::vector<std::int64_t>& dims) {
    onnx::TensorProto& tensor = *model.mutable_graph()->add_initializer();
    tensor.set_name(name);
    tensor.set_data_type(type);
    for (const std::int64_t size : dims) tensor.add_dims(size);
  };
  weight("b", onnx::TensorProto::UINT8, {16, 2, 16});
  weight("half", onnx::TensorProto::FLOAT16, {16, 2});
  weight("w", onnx::TensorProto::BFLOAT16, {8, 64});
  weight("a1", onnx::TensorProto::FLOAT, {});
  weight("z1", onnx::TensorProto::UINT8, {});
  weight("c", onnx::TensorProto::INT8, {16, 64});
  weight("cs", onnx::TensorProto::FLOAT, {16});
  weight("cz", onnx::TensorProto::INT8, {16});
  weight("unused", onnx::TensorProto::FLOAT, {1000});
  const q3vl::LoneMatrices found = q3vl::lone_matrices(ModelFolder(model).path());
  onnx::ModelProto alone;
  ASSERT_TRUE(alone.ParseFromString(found.model));
  std::map<std::string, int> ops;
  for (const onnx::NodeProto& node : alone.graph().node()) ++ops[node.op_type()];
  EXPECT_EQ(ops, (std::map<std::string, int>{
                     {"Cast", 2}, {"FusedMatMul", 1}, {"MatMulNBits", 1}, {"QGemm", 1}, {"Shape", 3}}));
  std::set<std::string> weights;
  for (const onnx::TensorProto& tensor : alone.graph().initializer()) weights.insert(tensor.name());
  EXPECT_EQ(weights, (std::set<std::string>{"a1", "b", "c", "cs", "cz", "half", "w", "z1"}));
  std::map<std::string, std::int64_t> inputs;
  for (const auto& input : found.inputs) inputs[input.name] = input.width;
  EXPECT_EQ(inputs, (std::map<std::string, std::int64_t>{{"float32_64", 64}, {"uint8_64", 64}}));
  EXPECT_EQ(alone.graph().output_size(), 3);
}

TEST(LoneMatrices, AModelWithoutAnyIsRefused) {
  const ModelFolder folder(parse("g (float[B,8] x) => (float[B,8] Y) { Y = Add(x, x) }"));
  EXPECT_EQ(q3vl::refusal(q3vl::ErrorKind::bad_input, [&] { q3vl::lone_matrices(folder.path()); }),
            folder.path().string() +
                ": has no MatMulNBits, QGemm or FusedMatMul with weights, so there are no matrices to measure");
}

/// Damaged models, each with what is said of it after its path.
TEST(LoneMatrices, DamagedNodesAreRefused) {
  const auto refused = [](const std::string& nodes) {
    onnx::ModelProto model = parse("g (float[B,8] x) => (float[B,8] Y) { " + nodes + " }");
    for (onnx::NodeProto& node : *model.mutable_graph()->mutable_node()) node.set_name("n");
    onnx::TensorProto& tensor = *model.mutable_graph()->add_initializer();
    tensor.set_name("vector");
    tensor.set_data_type(onnx::TensorProto::FLOAT);
    tensor.add_dims(8);
    const ModelFolder folder(model);
    return q3vl::refusal(q3vl::ErrorKind::bad_input, [&] { q3vl::lone_matrices(folder.path()); })
        .substr(folder.path().string().size());
  };
  EXPECT_EQ(refused("Y = com.microsoft.MatMulNBits<K=8>()"),
            ": node n (MatMulNBits) has 0 inputs, expected 1 or more; the model is damaged");
  EXPECT_EQ(refused("Y = com.microsoft.FusedMatMul(x)"),
            ": node n (FusedMatMul) has 1 inputs, expected 2 or more; the model is damaged");
  EXPECT_EQ(refused("Y = com.microsoft.QGemm(x, x, x, x)"),
            ": node n (QGemm) multiplies by x, expected a stored matrix");
  EXPECT_EQ(refused("Y = com.microsoft.QGemm(x, x, x, vector)"),
            ": node n (QGemm) multiplies by vector, expected a stored matrix");
  EXPECT_EQ(refused("Y = com.microsoft.MatMulNBits<K=8>(x, computed)"),
            ": computed is no stored weight, nor a Cast of one");
  EXPECT_EQ(refused("a = Cast<to=1>(b) b = Cast<to=1>(a) Y = com.microsoft.MatMulNBits<K=8>(x, a)"),
            ": a is no stored weight, nor a Cast of one");
}

TEST(ProbeModel, DamagedNodesAreRefused) {
  for (const auto& [nodes, message] :
       {std::pair{"Y = com.microsoft.QGemm()",
                  ": node n (QGemm) has 0 inputs, expected 1 or more; the model is damaged"},
        {"q = QuantizeLinear() Y = com.microsoft.QGemm(q, q, q, q, q, q)",
         ": node n (QuantizeLinear) has 0 inputs, expected 1 or more; the model is damaged"},
        {"Y = Mul()", ": node n (Mul) has 0 inputs, expected 1 or more; the model is damaged"}}) {
    onnx::ModelProto model = parse("g (float[B,8] x) => (float[B,8] Y) { " + std::string(nodes) + " }");
    for (onnx::NodeProto& node : *model.mutable_graph()->mutable_node()) node.set_name("n");
    const ModelFolder folder(model);
    EXPECT_EQ(q3vl::refusal(q3vl::ErrorKind::bad_input,
                            [&] {
                              q3vl::probe_model(
                                  folder.path(),
                                  {.activations = q3vl::Activations::floats, .pick_prefix = "", .taps = {}});
                            }),
              folder.path().string() + message);
  }
}

TEST(ReadModelSummary, TellsInputsOutputsAndOperators) {
  const ModelFolder folder(loop_model());
  const q3vl::ModelSummary summary = q3vl::read_model_summary(folder.path());
  ASSERT_EQ(summary.inputs.size(), 2U);
  EXPECT_EQ(summary.inputs[1].name, "grid");
  EXPECT_EQ(summary.inputs[1].type, q3vl::DataType::int64);
  EXPECT_EQ(summary.inputs[1].dims, (q3vl::Dims{"I", std::int64_t{3}}));
  ASSERT_EQ(summary.outputs.size(), 1U);
  EXPECT_EQ(summary.outputs[0].dims, (q3vl::Dims{"N", std::int64_t{8}}));
  EXPECT_EQ(summary.operators.at("Squeeze"), 2);
  EXPECT_EQ(summary.operators.at("SequenceInsert"), 1) << "in the body";
  EXPECT_EQ(summary.opset_imports.at(""), 17);
  EXPECT_EQ(summary.opset_imports.at("com.microsoft"), 1);
  EXPECT_EQ(summary.ir_version, 8);
}

TEST(ReadModelSummary, RefusesADamagedFile) {
  const ModelFolder folder(loop_model());
  fs::resize_file(folder.path(), fs::file_size(folder.path()) - 5);
  EXPECT_EQ(q3vl::refusal(q3vl::ErrorKind::bad_input, [&] { q3vl::read_model_summary(folder.path()); }),
            folder.path().string() + ": is not an ONNX model, or a damaged one");
}

TEST(ReadModelSummary, RefusesMoreBytesThanCanBeCounted) {
  onnx::ModelProto model = loop_model();
  onnx::TensorProto& tensor = *model.mutable_graph()->add_initializer();
  tensor.set_name("w");
  tensor.set_data_type(onnx::TensorProto::DOUBLE);
  tensor.add_dims(std::int64_t{1} << 61);
  const ModelFolder folder(model);
  EXPECT_EQ(q3vl::refusal(q3vl::ErrorKind::bad_input, [&] { q3vl::read_model_summary(folder.path()); }),
            folder.path().string() +
                ": initializer w has the shape [2305843009213693952], whose bytes cannot be counted in 63 bits");
}

}  // namespace
}  // namespace q3vl::serialize_schema_test
