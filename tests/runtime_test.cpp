// ONNX Runtime behind Session, on a small model whose results are computed by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>

#include "runtime/session.h"
#include "support/refusal.h"
#include "support/temporary_folder.h"

namespace q3vl::runtime_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

onnx::NodeProto* add_node(onnx::GraphProto& graph, const std::string& type, const std::vector<std::string>& inputs,
                          const std::string& output) {
  onnx::NodeProto* node = graph.add_node();
  node->set_op_type(type);
  for (const std::string& input : inputs) node->add_input(input);
  node->add_output(output);
  return node;
}

/// [rows, 2] of `type`; rows is a symbol.
void describe(onnx::ValueInfoProto& value, const std::string& name, onnx::TensorProto::DataType type) {
  value.set_name(name);
  auto& tensor = *value.mutable_type()->mutable_tensor_type();
  tensor.set_elem_type(type);
  tensor.mutable_shape()->add_dim()->set_dim_param("rows");
  tensor.mutable_shape()->add_dim()->set_dim_value(2);
}

/// y = x·[[1, 2], [3, 4]] in float32, half = y in float16, next = state + 1.
std::string model_bytes() {
  onnx::ModelProto model;
  model.set_ir_version(8);
  model.add_opset_import()->set_version(17);
  onnx::GraphProto& graph = *model.mutable_graph();
  graph.set_name("test");
  describe(*graph.add_input(), "x", onnx::TensorProto::FLOAT);
  describe(*graph.add_input(), "state", onnx::TensorProto::INT64);
  describe(*graph.add_output(), "y", onnx::TensorProto::FLOAT);
  describe(*graph.add_output(), "half", onnx::TensorProto::FLOAT16);
  describe(*graph.add_output(), "next", onnx::TensorProto::INT64);
  onnx::TensorProto& weight = *graph.add_initializer();
  weight.set_name("weight");
  weight.set_data_type(onnx::TensorProto::FLOAT);
  for (const int size : {2, 2}) weight.add_dims(size);
  for (const float value : {1.F, 2.F, 3.F, 4.F}) weight.add_float_data(value);
  onnx::TensorProto& one = *graph.add_initializer();
  one.set_name("one");
  one.set_data_type(onnx::TensorProto::INT64);
  one.add_int64_data(1);
  add_node(graph, "MatMul", {"x", "weight"}, "y");
  onnx::AttributeProto& to = *add_node(graph, "Cast", {"y"}, "half")->add_attribute();
  to.set_name("to");
  to.set_type(onnx::AttributeProto::INT);
  to.set_i(onnx::TensorProto::FLOAT16);
  add_node(graph, "Add", {"state", "one"}, "next");
  return model.SerializeAsString();
}

class SessionTest : public testing::Test {
 protected:
  SessionTest() { write_bytes(path_, model_bytes()); }

  TemporaryFolder folder_;
  std::filesystem::path path_ = folder_ / "model.onnx";
  OnnxRuntime runtime_;
};

const HostTensor kX = HostTensor::of<float>({2, 2}, {1, 0, 10, 1});
const HostTensor kState = HostTensor::of<std::int64_t>({1, 2}, {7, -1});

TEST_F(SessionTest, DescribesInputsAndOutputs) {
  const Session session(runtime_, path_);
  ASSERT_EQ(session.inputs().size(), 2U);
  EXPECT_EQ(session.inputs()[0].name, "x");
  EXPECT_EQ(session.inputs()[0].type, DataType::float32);
  ASSERT_EQ(session.inputs()[0].dims.size(), 2U);
  EXPECT_EQ(std::get<std::string>(session.inputs()[0].dims[0]), "rows");
  EXPECT_EQ(std::get<std::int64_t>(session.inputs()[0].dims[1]), 2);
  EXPECT_EQ(session.input("state").type, DataType::int64);
  ASSERT_EQ(session.outputs().size(), 3U);
  EXPECT_EQ(session.outputs()[1].name, "half");
  EXPECT_EQ(session.outputs()[1].type, DataType::float16);
  EXPECT_EQ(refusal(ErrorKind::bad_input, [&] { session.input("z"); }), path_.string() + ": the graph has no input z");
}

TEST_F(SessionTest, RunsWithAnyOptimisation) {
  for (const auto optimization :
       {GraphOptimization::none, GraphOptimization::basic, GraphOptimization::extended, GraphOptimization::all}) {
    const Session session(runtime_, path_, {.intra_op_threads = 1, .optimization = optimization});
    const NamedTensors outputs = session.run({{"x", kX}, {"state", kState}});
    ASSERT_EQ(outputs.size(), 3U);
    EXPECT_EQ(outputs.at("y").shape, Shape({2, 2}));
    EXPECT_THAT(outputs.at("y").values<float>(), ElementsAre(1, 2, 13, 24));
    EXPECT_EQ(outputs.at("half").type, DataType::float16);
    EXPECT_THAT(outputs.at("half").to_float32(), ElementsAre(1, 2, 13, 24));
    EXPECT_THAT(outputs.at("next").values<std::int64_t>(), ElementsAre(8, 0));
  }
}

TEST_F(SessionTest, TakesNoRows) {
  const NamedTensors outputs =
      Session(runtime_, path_).run({{"x", HostTensor::zeros(DataType::float32, {0, 2})}, {"state", kState}});
  EXPECT_EQ(outputs.at("y").shape, Shape({0, 2}));
  EXPECT_TRUE(outputs.at("y").bytes.empty());
}

TEST_F(SessionTest, WritesASharedTensorInPlace) {
  const Session session(runtime_, path_);
  HostTensor state = kState;
  const SharedTensor shared{"state", "next", &state};
  for (int run = 0; run < 2; ++run) {
    const NamedTensors outputs = session.run({{"x", kX}}, {&shared, 1});
    EXPECT_EQ(outputs.size(), 2U);
    EXPECT_THAT(outputs.at("y").values<float>(), ElementsAre(1, 2, 13, 24));
  }
  EXPECT_THAT(state.values<std::int64_t>(), ElementsAre(9, 1));
}

TEST_F(SessionTest, RenewsATensorThatOnnxRuntimeKeeps) {
  RuntimeTensor state(kState);
  EXPECT_THAT(state.to_host().values<std::int64_t>(), ElementsAre(7, -1));
  const RuntimeTensor before = state;
  {
    const Session session(runtime_, path_);
    const RenewedTensor renewed{"state", "next", &state};
    for (int run = 0; run < 2; ++run) {
      const NamedTensors outputs = session.run({{"x", kX}}, {}, {&renewed, 1});
      EXPECT_EQ(outputs.size(), 2U);
      EXPECT_THAT(outputs.at("y").values<float>(), ElementsAre(1, 2, 13, 24));
    }
    EXPECT_THAT(refusal(ErrorKind::bad_input,
                        [&] {
                          session.run({{"x", kState}}, {}, {&renewed, 1});
                        }),
                HasSubstr("Unexpected input data type"));
  }
  // It outlives the session, and what it was before is still what it was.
  const HostTensor found = state.to_host();
  EXPECT_EQ(found.type, DataType::int64);
  EXPECT_EQ(found.shape, Shape({1, 2}));
  EXPECT_THAT(found.values<std::int64_t>(), ElementsAre(9, 1));
  EXPECT_THAT(before.to_host().values<std::int64_t>(), ElementsAre(7, -1));
}

TEST_F(SessionTest, KeepsAnEmptyTensor) {
  EXPECT_EQ(RuntimeTensor(HostTensor::zeros(DataType::float32, {1, 0, 2})).to_host().shape, Shape({1, 0, 2}));
}

TEST_F(SessionTest, SaysWhatIsWrong) {
  const Session session(runtime_, path_);
  const std::string cannot_run = path_.string() + ": ONNX Runtime cannot run it: ";
  EXPECT_THAT(refusal(ErrorKind::bad_input,
                      [&] {
                        session.run({{"x", kX}});
                      }),
              AllOf(StartsWith(cannot_run), HasSubstr("state")));
  EXPECT_THAT(refusal(ErrorKind::bad_input,
                      [&] {
                        session.run({{"x", kState}, {"state", kState}});
                      }),
              AllOf(StartsWith(cannot_run), HasSubstr("Unexpected input data type")));
  EXPECT_THAT(refusal(ErrorKind::bad_input,
                      [&] {
                        session.run({{"x", HostTensor::of<float>({1, 3}, {1, 2, 3})}, {"state", kState}});
                      }),
              AllOf(StartsWith(cannot_run), HasSubstr("Got: 3 Expected: 2")));

  const std::filesystem::path missing = folder_ / "missing.onnx";
  EXPECT_THAT(refusal(ErrorKind::bad_input, [&] { Session(runtime_, missing); }),
              AllOf(StartsWith(missing.string() + ": ONNX Runtime cannot load it: "), HasSubstr("doesn't exist")));
  write_bytes(path_, model_bytes().substr(0, 100));
  EXPECT_THAT(
      refusal(ErrorKind::bad_input, [&] { Session(runtime_, path_); }),
      AllOf(StartsWith(path_.string() + ": ONNX Runtime cannot load it: "), HasSubstr("Protobuf parsing failed")));
}

TEST(OnnxRuntime, SaysWhatIsWrongWithALibrary) {
  EXPECT_EQ(
      refusal(ErrorKind::usage, [] { OnnxRuntime("/nowhere/libonnxruntime.so"); }),
      "ONNX Runtime cannot be opened: /nowhere/libonnxruntime.so: cannot open shared object file: No such file or "
      "directory; --onnxruntime or Q3VL_ONNXRUNTIME_LIBRARY names one");
  EXPECT_EQ(refusal(ErrorKind::usage, [] { OnnxRuntime("libm.so.6"); }),
            "libm.so.6 is not ONNX Runtime: it has no OrtGetApiBase");
}

TEST(OnnxRuntime, OpensTwice) {
  const OnnxRuntime first, second;
  EXPECT_THAT(first.version(), StartsWith("1."));
  EXPECT_EQ(first.version(), second.version());
}

TEST(HostTensor, ConvertsAmongFloats) {
  const HostTensor floats = HostTensor::of<float>({3}, {1.F, -2.5F, 65504.F});
  const HostTensor half = floats.to(DataType::float16);
  EXPECT_EQ(half.bytes.size(), 6U);
  EXPECT_EQ(half.bytes[1], std::byte{0x3c});  // 1 is 0x3c00
  EXPECT_THAT(half.to_float32(), ElementsAre(1.F, -2.5F, 65504.F));
  const HostTensor brain = floats.to(DataType::bfloat16);
  EXPECT_EQ(brain.bytes[1], std::byte{0x3f});                         // 1 is 0x3f80
  EXPECT_THAT(brain.to_float32(), ElementsAre(1.F, -2.5F, 65536.F));  // 8 bits of precision
  EXPECT_EQ(brain.to(DataType::float32).type, DataType::float32);
  EXPECT_EQ(refusal(ErrorKind::internal, [&] { floats.values<std::int64_t>(); }), "a float32 tensor is read as int64");
  EXPECT_EQ(refusal(ErrorKind::internal,
                    [] {
                      HostTensor::of<float>({2, 2}, {1, 2, 3});
                    }),
            "3 values for a tensor of shape [2, 2]");
}

}  // namespace
}  // namespace q3vl::runtime_test
