// verify: no fault passes. Faults are put into written packages by ONNX's own messages and by changing bytes; what is
// expected of each is written here by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>

#include <array>
#include <cmath>
#include <cstring>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <set>

#include "backend/weight_blocks.h"
#include "checkpoint/checkpoint.h"
#include "data/weight_check.h"
#include "onnx/model_differences.h"
#include "pipeline/make_plan.h"
#include "support/verified_packages.h"

namespace q3vl::verify_faults_test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

/// The node called `name`, in `graph` or in a graph inside one of its nodes.
onnx::NodeProto* find_node(onnx::GraphProto& graph, const std::string& name) {
  for (onnx::NodeProto& node : *graph.mutable_node()) {
    if (node.name() == name) return &node;
    for (onnx::AttributeProto& attribute : *node.mutable_attribute())
      if (attribute.has_g())
        if (onnx::NodeProto* inner = find_node(*attribute.mutable_g(), name)) return inner;
  }
  return nullptr;
}

onnx::NodeProto& node_called(onnx::GraphProto& graph, const std::string& name) {
  onnx::NodeProto* node = find_node(graph, name);
  if (node == nullptr) throw std::runtime_error("the graph has no node " + name);
  return *node;
}

/// Changes one attribute to another value of its type.
void change(onnx::AttributeProto& attribute) {
  switch (attribute.type()) {
    case onnx::AttributeProto::INT:
      attribute.set_i(attribute.i() + 1);
      break;
    case onnx::AttributeProto::FLOAT:
      attribute.set_f(std::nextafter(attribute.f(), 2.0F));
      break;
    case onnx::AttributeProto::STRING:
      attribute.set_s(attribute.s() + "x");
      break;
    case onnx::AttributeProto::INTS:
      attribute.set_ints(0, attribute.ints(0) + 1);
      break;
    default:
      throw std::runtime_error("an attribute of a type that the graphs do not have: " + attribute.name());
  }
}

/// Calls `visit` for every node of a graph and of the graphs inside it.
void each_node(onnx::GraphProto& graph, const std::function<void(onnx::GraphProto&, int)>& visit) {
  for (int i = 0; i < graph.node_size(); ++i) {
    visit(graph, i);
    for (onnx::AttributeProto& attribute : *graph.mutable_node(i)->mutable_attribute())
      if (attribute.has_g()) each_node(*attribute.mutable_g(), visit);
  }
}

/// Applies each fault that `faults` makes of a model, one at a time, and counts those that the comparison with the
/// original does not report with a sentence that holds the fault's place.
class GraphFaults {
 public:
  explicit GraphFaults(const std::string& file) : copy_(package("odd", {"--block-size", "16"})), file_(file) {
    original_ = read_bytes(copy_.path() / file);
    model_ = copy_.model(file);
  }

  onnx::GraphProto& graph() { return *model_.mutable_graph(); }

  /// The model as it is now is faulty, at `place`.
  void expect_found(const std::string& place) {
    ++tried_;
    copy_.write(file_, model_);
    const std::vector<std::string> found = model_differences(copy_.path() / file_, original_);
    for (const std::string& sentence : found)
      if (sentence.find(place) != std::string::npos) return;
    ADD_FAILURE() << file_ << ": a fault at " << place << " passes; reported: " << testing::PrintToString(found);
  }

  int tried() const { return tried_; }

 private:
  Changed copy_;
  std::string file_;
  std::string original_;
  onnx::ModelProto model_;
  int tried_ = 0;
};

class GraphFile : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(All, GraphFile, testing::Values("vision.onnx", "embedding.onnx", "model.onnx"),
                         [](const auto& file) { return std::string(file.param, std::strchr(file.param, '.')); });

TEST_P(GraphFile, NoChangedAttributePasses) {
  GraphFaults faults(GetParam());
  each_node(faults.graph(), [&](onnx::GraphProto& graph, int index) {
    onnx::NodeProto& node = *graph.mutable_node(index);
    for (onnx::AttributeProto& attribute : *node.mutable_attribute()) {
      if (attribute.has_g()) continue;
      const onnx::AttributeProto before = attribute;
      change(attribute);
      faults.expect_found("node " + node.name() + " (" + node.op_type() + "): attribute " + before.name() + " is ");
      attribute = before;
    }
    onnx::AttributeProto* extra = node.add_attribute();
    extra->set_name("extra");
    extra->set_type(onnx::AttributeProto::INT);
    faults.expect_found(node.name() + " (" + node.op_type() + "): attribute extra: is not expected");
    node.mutable_attribute()->RemoveLast();
  });
  RecordProperty("faults", faults.tried());
  EXPECT_GE(faults.tried(), 5);
}

TEST_P(GraphFile, NoChangedNodePasses) {
  GraphFaults faults(GetParam());
  each_node(faults.graph(), [&](onnx::GraphProto& graph, int index) {
    const onnx::NodeProto before = graph.node(index);
    const std::string place = "node " + before.name() + " (" + before.op_type() + ")";
    onnx::NodeProto& node = *graph.mutable_node(index);
    if (node.input_size() > 0) {
      node.set_input(node.input_size() - 1, node.input(0) + "x");
      faults.expect_found(place + ": the list of inputs is ");
      node = before;
    }
    node.set_output(0, "another");
    faults.expect_found(place + ": the list of outputs is ");
    node = before;
    node.set_op_type("Erf");
    faults.expect_found(place + ": the operator is \"Erf\", expected \"" + before.op_type() + "\"");
    node = before;
    node.set_domain("elsewhere");
    faults.expect_found(place + ": the domain is \"elsewhere\"");
    node = before;
    node.set_doc_string("remark");
    faults.expect_found(place + ": ");
    node = before;
    node.set_name("renamed");
    faults.expect_found(place + ": is missing");
    node = before;
  });
  EXPECT_GE(faults.tried(), 40);
}

TEST_P(GraphFile, NoOtherChangePasses) {
  GraphFaults faults(GetParam());
  onnx::GraphProto& graph = faults.graph();
  for (int i = 0; i < graph.initializer_size(); ++i) {
    const onnx::TensorProto before = graph.initializer(i);
    onnx::TensorProto& tensor = *graph.mutable_initializer(i);
    const std::string place = "initializer " + before.name() + ": is ";
    if (tensor.external_data_size() > 0) {
      for (int entry = 0; entry < tensor.external_data_size(); ++entry) {
        tensor.mutable_external_data(entry)->set_value(before.external_data(entry).value() + "0");
        faults.expect_found(place);
        tensor = before;
      }
    } else if (!tensor.raw_data().empty()) {
      (*tensor.mutable_raw_data())[0] = static_cast<char>(tensor.raw_data()[0] ^ 1);
      faults.expect_found(place);
      tensor = before;
    }
    tensor.set_data_type(tensor.data_type() + 1);
    faults.expect_found(place);
    tensor = before;
    tensor.add_dims(1);
    faults.expect_found(place);
    tensor = before;
  }
  for (auto* list : {graph.mutable_input(), graph.mutable_output()})
    for (onnx::ValueInfoProto& value : *list) {
      const onnx::ValueInfoProto before = value;
      value.mutable_type()->mutable_tensor_type()->mutable_shape()->mutable_dim(0)->set_dim_param("other");
      faults.expect_found("put " + before.name() + ": is ");
      value = before;
    }
  const onnx::GraphProto before = graph;
  graph.mutable_node()->SwapElements(0, 1);
  faults.expect_found("stands where ");
  graph = before;
  *graph.add_node() = graph.node(0);
  faults.expect_found("stands there more than once");
  graph = before;
  graph.mutable_node()->RemoveLast();
  faults.expect_found("is missing");
  graph = before;
  graph.set_doc_string("remark");
  faults.expect_found("the graph: ");
  graph = before;
  graph.add_value_info()->set_name("more");
  faults.expect_found("the graph: ");
}

/// A flipped bit of a file; flipped back when it goes.
class Flip {
 public:
  Flip(fs::path path, std::uint64_t offset, int bit) : path_(std::move(path)), offset_(offset), bit_(bit) { flip(); }
  Flip(Flip&& other) noexcept : path_(std::move(other.path_)), offset_(other.offset_), bit_(other.bit_) {
    other.path_.clear();
  }
  ~Flip() {
    if (!path_.empty()) flip();
  }

 private:
  void flip() const {
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(static_cast<std::streamoff>(offset_));
    const char byte = static_cast<char>(file.get() ^ (1 << bit_));
    file.seekp(static_cast<std::streamoff>(offset_));
    if (!file.put(byte)) throw std::runtime_error("cannot change " + path_.string());
  }

  fs::path path_;
  std::uint64_t offset_;
  int bit_;
};

std::vector<std::string> weight_findings(const PackagePlan& plan, const fs::path& folder) {
  return weight_differences(plan.layout,
                            {plan.checkpoint.get(), weight_blocks(), [](const auto&) { return InputStatistics{}; }},
                            folder, false, 2, [](std::uint64_t) {});
}

/// One part of a weight as the package's models name it.
struct Part {
  std::string file, initializer;
  std::uint64_t offset, length;
};

TEST(VerifyWeights, NoFlippedBitPasses) {
  const Flags flags = {"--block-size", "16"};
  const Changed copy(package("odd", flags));
  ExportRequest request;
  request.checkpoint = checkpoint("odd");
  request.block_size = 16;
  request.layout = "genai";
  const PackagePlan plan = make_plan(request, {});
  ASSERT_THAT(weight_findings(plan, copy.path()), testing::IsEmpty());
  std::vector<Part> parts;
  for (const char* file : {"vision.onnx", "embedding.onnx", "model.onnx"}) {
    const onnx::ModelProto model = copy.model(file);
    for (const onnx::TensorProto& tensor : model.graph().initializer())
      if (tensor.external_data_size() > 0)
        parts.push_back({tensor.external_data(0).value(), tensor.name(), std::stoull(tensor.external_data(1).value()),
                         std::stoull(tensor.external_data(2).value())});
  }
  ASSERT_GT(parts.size(), 100U);
  std::mt19937 random(11);
  int flipped = 0;
  // A bit of every part at once; each must be reported by name, place and value.
  for (int round = 0; round < 6; ++round) {
    std::vector<Flip> flips;
    std::vector<std::string> expected;
    for (const Part& part : parts) {
      const std::uint64_t place = round == 0 ? 0 : round == 1 ? part.length - 1 : random() % part.length;
      const int bit = static_cast<int>(random() % 8);
      const int before = static_cast<unsigned char>(read_bytes(copy.path() / part.file)[part.offset + place]);
      flips.emplace_back(copy.path() / part.file, part.offset + place, bit);
      std::array<char, 200> sentence{};
      std::snprintf(sentence.data(), sentence.size(),
                    "1 byte differs, first at offset %llu of the file: 0x%02x, expected 0x%02x",
                    static_cast<unsigned long long>(part.offset + place), static_cast<unsigned>(before ^ (1 << bit)),
                    static_cast<unsigned>(before));
      expected.emplace_back(sentence.data());
    }
    const std::vector<std::string> findings = weight_findings(plan, copy.path());
    EXPECT_EQ(findings.size(), parts.size());
    std::string all;
    for (const std::string& finding : findings) all += finding + "\n";
    for (std::size_t i = 0; i < parts.size(); ++i) {
      EXPECT_NE(all.find(expected[i]), std::string::npos) << parts[i].initializer << ": " << expected[i];
      ++flipped;
    }
  }
  // Bytes that no weight owns.
  std::map<std::string, std::vector<bool>> owned;
  for (const Part& part : parts) {
    std::vector<bool>& bytes = owned[part.file];
    bytes.resize(fs::file_size(copy.path() / part.file));
    std::fill_n(bytes.begin() + static_cast<std::ptrdiff_t>(part.offset), part.length, true);
  }
  int gaps = 0;
  for (const auto& [file, bytes] : owned)
    for (std::size_t at = 0; at < bytes.size(); ++at) {
      if (bytes[at] || (at > 0 && !bytes[at - 1] && random() % 500 != 0)) continue;  // each gap's first, some others
      const Flip flip(copy.path() / file, at, 3);
      EXPECT_THAT(weight_findings(plan, copy.path()),
                  ElementsAre(file + ": between the weights, where all is zero: 1 byte differs, first at offset " +
                              std::to_string(at) + " of the file: 0x08, expected 0x00"));
      if (++gaps >= 40) break;
    }
  EXPECT_GT(gaps, 20);
  RecordProperty("flipped", flipped + gaps);
}

TEST(VerifyWeights, SayWhichBitAndWhere) {
  const Changed copy(package("tiny-a"));
  const onnx::ModelProto model = copy.model("model.onnx");
  for (const onnx::TensorProto& tensor : model.graph().initializer()) {
    if (tensor.name() != "model.language_model.layers.2.mlp.up_proj.weight.scales") continue;
    const std::uint64_t offset = std::stoull(tensor.external_data(1).value()) + 5;
    const Flip flip(copy.path() / "model.onnx.data", offset, 2);  // half the scale, or twice
    const CommandResult result = verify(copy.path(), "tiny-a");
    EXPECT_EQ(result.exit_code, kVerificationFailed);
    EXPECT_THAT(result.out, HasSubstr("weights   FAILED"));
    EXPECT_THAT(result.out, HasSubstr("model.onnx.data: model.language_model.layers.2.mlp.up_proj.weight (scales): 1 "
                                      "byte differs, first at offset " +
                                      std::to_string(offset) + " of the file: "));
    EXPECT_THAT(result.out, HasSubstr("graph     passed"));
    EXPECT_THAT(result.out, HasSubstr("numerics  passed")) << "the reference takes the very weights of the package";
    return;
  }
  FAIL() << "there is no such initializer";
}

TEST(VerifyWeights, SayWhichFileIsShortLongOrMissing) {
  const auto findings = [&](const std::function<void(const fs::path&)>& harm) {
    const Changed copy(package("tiny-a"));
    harm(copy.path());
    return joined(
        verify_json(copy.path(), "tiny-a", {"--checks", "weights"}, kVerificationFailed)["weights"]["findings"]);
  };
  const std::uint64_t size = fs::file_size(package("tiny-a") / "vision.onnx.data");
  EXPECT_EQ(
      findings([&](const fs::path& p) { fs::resize_file(p / "vision.onnx.data", size - 1); }),
      "vision.onnx.data: is " + std::to_string(size - 1) + " bytes long, expected " + std::to_string(size) + "\n");
  EXPECT_EQ(
      findings([&](const fs::path& p) { fs::resize_file(p / "vision.onnx.data", size + 1); }),
      "vision.onnx.data: is " + std::to_string(size + 1) + " bytes long, expected " + std::to_string(size) + "\n");
  EXPECT_EQ(findings([&](const fs::path& p) { fs::remove(p / "vision.onnx.data"); }), "vision.onnx.data: is missing\n");
}

// Faults of the kind that exporters really have. The comparison of graphs names each; the numbers alone find it too,
// and say in which output it shows.
struct Fault {
  const char* name;
  const char* file;
  std::function<void(onnx::GraphProto&)> make;
  const char* graph_finding;
  const char* numerics_finding;
};

void bypass(onnx::GraphProto& graph, const std::string& name) {
  const onnx::NodeProto gone = node_called(graph, name);
  auto* nodes = graph.mutable_node();
  for (int i = nodes->size(); i-- > 0;) {
    if ((*nodes)[i].name() == name) nodes->DeleteSubrange(i, 1);
  }
  for (onnx::NodeProto& node : *nodes)
    for (std::string& input : *node.mutable_input())
      if (input == gone.output(0)) input = gone.input(0);
}

std::vector<Fault> faults() {
  return {
      {"the DeepStack add is dropped", "model.onnx",
       [](onnx::GraphProto& g) { bypass(g, "model.language_model.layers.1.deepstack/Add"); },
       "model.onnx: node model.language_model.layers.1.deepstack/Add (Add): is missing",
       "one image: layer 1 is off by "},
      {"height and width are swapped", "model.onnx",
       [](onnx::GraphProto& g) {
         for (onnx::TensorProto& tensor : *g.mutable_initializer())
           if (tensor.name() == "constant/[0,1,2,0,1,2,0,1,2,0,1,2,0,1,2,0]")
             for (std::size_t i = 0; i < tensor.raw_data().size(); i += 8) {
               char& axis = (*tensor.mutable_raw_data())[i];
               axis = static_cast<char>(axis == 0 ? 0 : 3 - axis);
             }
       },
       "model.onnx: initializer constant/[0,1,2,0,1,2,0,1,2,0,1,2,0,1,2,0]: is ",
       "one image: present.0.key is off by "},
      {"erf stands for tanh in the blocks' GELU", "vision.onnx",
       [](onnx::GraphProto& g) {
         for (int block = 0; block < 4; ++block)
           node_called(g, "model.visual.blocks." + std::to_string(block) + ".mlp.act_fn/FastGelu").set_op_type("Gelu");
       },
       "(FastGelu): the operator is \"Gelu\", expected \"FastGelu\"", "one image: deepstack 0 is off by "},
      {"positions are shifted by one after the clamp", "model.onnx",
       [](onnx::GraphProto& g) {
         onnx::NodeProto shift;
         shift.set_name("shift");
         shift.set_op_type("Add");
         const std::string clamped = node_called(g, "model.language_model.rotary_emb/Min").output(0);
         shift.add_input(clamped);
         shift.add_input("constant/1");
         shift.add_output("shifted");
         for (onnx::NodeProto& node : *g.mutable_node())
           for (std::string& input : *node.mutable_input())
             if (input == clamped) input = "shifted";
         auto* nodes = g.mutable_node();
         *nodes->Add() = shift;
         for (int i = nodes->size() - 1; (*nodes)[i - 1].name() != "model.language_model.rotary_emb/Min"; --i)
           nodes->SwapElements(i, i - 1);
       },
       "model.onnx: node shift (Add): is not expected", "text: present.0.key is off by "},
      {"one norm has another epsilon", "model.onnx",
       [](onnx::GraphProto& g) {
         for (onnx::AttributeProto& attribute :
              *node_called(g, "model.language_model.layers.0.self_attn.k_norm/SimplifiedLayerNormalization")
                   .mutable_attribute())
           if (attribute.name() == "epsilon") attribute.set_f(0.05F);
       },
       "k_norm/SimplifiedLayerNormalization (SimplifiedLayerNormalization): attribute epsilon is 0.05, expected 1e-06",
       "text: present.0.key is off by "},
      {"the last position but one is picked", "model.onnx",
       [](onnx::GraphProto& g) { node_called(g, "model.language_model.last_place/Sub_2").set_input(1, "constant/2"); },
       "model.onnx: node model.language_model.last_place/Sub_2 (Sub): the list of inputs is ",
       "text: decoded over a growing cache is off by "},
      {"videos' placeholders are left empty", "embedding.onnx",
       [](onnx::GraphProto& g) { node_called(g, "placeholders.video/Equal").set_input(1, "constant/0"); },
       "embedding.onnx: node placeholders.video/Equal (Equal): the list of inputs is ", "embedding.onnx: "},
      {"a residual is left out in the tower", "vision.onnx",
       [](onnx::GraphProto& g) {
         onnx::NodeProto& add = node_called(g, "model.visual.blocks.2.attn/Add");
         add.set_input(1, add.input(0));
       },
       "model.visual.blocks.2.attn/Add (Add): the list of inputs is ", "video: deepstack 2 is off by "},
  };
}

class RealFault : public testing::TestWithParam<std::size_t> {};
INSTANTIATE_TEST_SUITE_P(All, RealFault, testing::Range(std::size_t{0}, faults().size()), [](const auto& fault) {
  std::string name = faults()[fault.param].name;
  std::erase_if(name, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; });
  return name;
});

TEST_P(RealFault, IsFoundByTheGraphAndByTheNumbers) {
  const Fault fault = faults()[GetParam()];
  const Changed copy(package("tiny-a"));
  copy.edit(fault.file, fault.make);
  const json report = verify_json(copy.path(), "tiny-a", {"--checks", "graph,weights,numerics"}, kVerificationFailed);
  ASSERT_TRUE(report.is_object());
  EXPECT_FALSE(report["ok"]);
  EXPECT_FALSE(report["graph"]["ok"]);
  EXPECT_THAT(joined(report["graph"]["findings"]), HasSubstr(fault.graph_finding));
  EXPECT_FALSE(report["numerics"]["ok"]);
  EXPECT_THAT(joined(report["numerics"]["findings"]), HasSubstr(fault.numerics_finding));
  EXPECT_TRUE(report["weights"]["ok"]) << "the four are never mixed";
}

// A scale that is infinite: what is multiplied by it is infinite or not a number, in the package and in the reference
// alike. Nothing of that may read as a small error.
TEST(VerifyQuality, ValuesThatAreNotFiniteDoNotPass) {
  const Changed copy(package("tiny-a"));
  const onnx::ModelProto model = copy.model("model.onnx");
  for (const onnx::TensorProto& tensor : model.graph().initializer()) {
    if (tensor.name() != "model.language_model.embed_tokens.weight.scales") continue;
    std::fstream file(copy.path() / tensor.external_data(0).value(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(std::stoll(tensor.external_data(1).value()));
    file.write("\x00\x7c", 2);
    file.close();
    const json report = verify_json(copy.path(), "tiny-a", {"--checks", "numerics,quality"}, kVerificationFailed);
    EXPECT_FALSE(report["numerics"]["ok"]);
    EXPECT_EQ(joined(report["quality"]["findings"]), "the package's logits are not all finite\n");
    return;
  }
  FAIL() << "there is no such initializer";
}

TEST(VerifyQuality, IsHeldAgainstTheCheckpointNotThePackage) {
  const Changed copy(package("tiny-a", {"--recipe", "fp32"}));
  const onnx::ModelProto model = copy.model("model.onnx");
  for (const onnx::TensorProto& tensor : model.graph().initializer()) {
    if (tensor.name() != "model.language_model.layers.2.mlp.up_proj.weight") continue;
    // The sign of a bfloat16: the package computes well with a weight that is not the checkpoint's.
    const Flip flip(copy.path() / "model.onnx.data", std::stoull(tensor.external_data(1).value()) + 1, 7);
    const CommandResult result = verify(copy.path(), "tiny-a", {"--checks", "quality", "--max-kld", "1e-9"});
    EXPECT_EQ(result.exit_code, kVerificationFailed) << result.out;
    EXPECT_THAT(result.out, HasSubstr("nats, more than the 1e-09 of --max-kld\n"));
    return;
  }
  FAIL() << "there is no such initializer";
}

TEST(Verify, AShortDataFileEndsNoOtherCheck) {
  const Changed copy(package("tiny-a"));
  fs::resize_file(copy.path() / "vision.onnx.data", fs::file_size(copy.path() / "vision.onnx.data") / 2);
  const json report = verify_json(copy.path(), "tiny-a", {}, kVerificationFailed);
  EXPECT_TRUE(report["graph"]["ok"]) << report["graph"];
  EXPECT_THAT(joined(report["weights"]["findings"]), HasSubstr("vision.onnx.data: is "));
  EXPECT_THAT(joined(report["numerics"]["findings"]), HasSubstr("vision.onnx"));
}

TEST(VerifyGraph, NumericsAloneFindAMissingDataFile) {
  const Changed copy(package("tiny-a"));
  fs::remove(copy.path() / "model.onnx.data");
  const json report = verify_json(copy.path(), "tiny-a", {"--checks", "numerics"}, kVerificationFailed);
  EXPECT_THAT(joined(report["numerics"]["findings"]), HasSubstr("model.onnx.data: "));
}

TEST(VerifyGraph, ComparesConfigsAndCopiedFilesToo) {
  const auto findings = [&](const std::function<void(const fs::path&)>& harm) {
    const Changed copy(package("tiny-a"));
    harm(copy.path());
    return joined(verify_json(copy.path(), "tiny-a", {"--checks", "graph"}, kVerificationFailed)["graph"]["findings"]);
  };
  const auto edit = [](const fs::path& file, const std::function<void(json&)>& change) {
    json document = json::parse(read_bytes(file));
    change(document);
    write_bytes(file, document.dump());
  };
  EXPECT_EQ(findings([&](const fs::path& p) {
              edit(p / "genai_config.json", [](json& j) { j["search"]["max_length"] = 7; });
            }),
            "genai_config.json: /search/max_length is 7, expected 4096\n");
  EXPECT_EQ(findings([&](const fs::path& p) { edit(p / "vision_processor.json", [](json& j) { j["more"] = 1; }); }),
            "vision_processor.json: /more is 1, expected missing\n");
  EXPECT_EQ(findings([&](const fs::path& p) { write_bytes(p / "genai_config.json", "{"); }),
            "genai_config.json: is not JSON\n");
  EXPECT_EQ(findings([&](const fs::path& p) { write_bytes(p / "tokenizer.json", "{}"); }),
            "tokenizer.json: differs from the checkpoint's\n");
  EXPECT_EQ(findings([&](const fs::path& p) { fs::remove(p / "chat_template.json"); }),
            "chat_template.json: is missing\n");
  EXPECT_EQ(findings([&](const fs::path& p) {
              edit(p / "manifest.json", [](json& j) { j["roles"]["norm"]["weights"] = 1; });
            }),
            "manifest.json: /roles/norm/weights is 1, expected 17\n");
  EXPECT_THAT(findings([&](const fs::path& p) {
                edit(p / "manifest.json", [](json& j) { j["recipe"]["text"]["block_size"] = 64; });
              }),
              HasSubstr("model.onnx: node model.language_model.layers.0.mlp.up_proj/MatMulNBits (MatMulNBits): "
                        "attribute block_size is 32, expected 64\n"));
  EXPECT_EQ(findings([&](const fs::path& p) { fs::remove(p / "model.onnx"); }), "model.onnx: is missing\n");
  EXPECT_THAT(findings([&](const fs::path& p) { write_bytes(p / "model.onnx", "no model"); }),
              HasSubstr("model.onnx: is not an ONNX model, or a damaged one\n"));
}

TEST(VerifyGraph, DoesNotMindAnotherVersionOfTheProgram) {
  const Changed copy(package("tiny-a"));
  onnx::ModelProto model = copy.model("model.onnx");
  model.set_producer_version("0.0.9");
  copy.write("model.onnx", model);
  json manifest = json::parse(read_bytes(copy.path() / "manifest.json"));
  manifest["versions"]["qwen3vl-export"] = "0.0.9";
  write_bytes(copy.path() / "manifest.json", manifest.dump(2) + "\n");
  verify_json(copy.path(), "tiny-a", {"--checks", "graph"}, 0);
}

TEST(VerifyNumerics, AGraphThatCannotRunIsAFinding) {
  const Changed copy(package("tiny-a"));
  copy.edit("model.onnx", [](onnx::GraphProto& g) {
    node_called(g, "model.language_model.rotary_emb/Min").set_op_type("NoSuchOperator");
  });
  const json report = verify_json(copy.path(), "tiny-a", {"--checks", "numerics"}, kVerificationFailed);
  EXPECT_THAT(joined(report["numerics"]["findings"]), HasSubstr("model.onnx: ONNX Runtime cannot load it: "));
}

TEST(Verify, AnotherCheckpointIsNotTheOne) {
  const json report = verify_json(package("tiny"), "tiny seed 1", {"--checks", "graph,weights"}, kVerificationFailed);
  EXPECT_TRUE(report["graph"]["ok"]) << "its config is the same";
  EXPECT_FALSE(report["weights"]["ok"]);
}

}  // namespace
}  // namespace q3vl::verify_faults_test
