// `qwen3vl-export inspect` on packages. What it counts is counted here once more, from the ONNX messages themselves.
#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "support/inspect_fixture.h"

namespace q3vl::inspect_package_test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

using Histogram = std::map<std::string, int>;

onnx::ModelProto read_model(const fs::path& path) {
  onnx::ModelProto model;
  EXPECT_TRUE(model.ParseFromString(read_bytes(path))) << path;
  return model;
}

void count(const onnx::GraphProto& graph, Histogram& histogram) {
  for (const onnx::NodeProto& node : graph.node()) {
    ++histogram[(node.domain().empty() ? "" : node.domain() + ".") + node.op_type()];
    for (const onnx::AttributeProto& attribute : node.attribute())
      if (attribute.type() == onnx::AttributeProto::GRAPH) count(attribute.g(), histogram);
  }
}

const json& graph_of(const json& report, const std::string& file) {
  for (const json& graph : report["graphs"])
    if (graph["file"] == file) return graph;
  throw std::runtime_error("no graph " + file);
}

const json& data_of(const json& report, const std::string& file) {
  for (const json& data : report["data_files"])
    if (data["name"] == file) return data;
  throw std::runtime_error("no data file " + file);
}

const json& client_of(const json& report, const std::string& name) {
  for (const json& client : report["clients"])
    if (client["name"] == name) return client;
  throw std::runtime_error("no client " + name);
}

std::set<std::string> names(const json& list) {
  std::set<std::string> result;
  for (const json& item : list) result.insert(item["name"].get<std::string>());
  return result;
}

json value(const std::string& name, const char* type, const json& shape) {
  return {{"name", name}, {"dtype", type}, {"shape", shape}};
}

/// What is told of packages of the layout genai.
constexpr const char* kForGenaiAlone = "there is no onnx/embed_tokens.onnx: Transformers.js does not load this package";

TEST_F(Inspect, GraphsHaveTheContractsInputsAndOutputs) {
  make_package();
  const json found = report(out_);
  ASSERT_EQ(found["graphs"].size(), 3U);
  const json& vision = graph_of(found, "vision.onnx");
  EXPECT_EQ(vision["inputs"], json::array({value("pixel_values", "float32", {"num_patches", 3 * 2 * 16 * 16}),
                                           value("image_grid_thw", "int64", {"num_images", 3})}));
  EXPECT_EQ(vision["outputs"], json::array({value("image_features", "float32", {"num_image_tokens", kFeatures})}));
  const json& embedding = graph_of(found, "embedding.onnx");
  EXPECT_EQ(embedding["inputs"], json::array({value("input_ids", "int64", {"batch_size", "sequence_length"}),
                                              value("image_features", "float32", {"num_image_tokens", kFeatures})}));
  const json embeds = value("inputs_embeds", "float32", {"batch_size", "sequence_length", kFeatures});
  EXPECT_EQ(embedding["outputs"], json::array({embeds}));
  json inputs = {embeds, value("attention_mask", "int64", {"batch_size", "total_sequence_length"}),
                 value("position_ids", "int64", {3, "batch_size", "sequence_length"})};
  json outputs = {value("logits", "float32", {"batch_size", 1, kVocabulary})};
  for (const int layer : {0, 1, 2, 3})
    for (const char* part : {"key", "value"}) {
      const std::string end = "." + std::to_string(layer) + "." + part;
      inputs.push_back(value("past_key_values" + end, "float32", {"batch_size", 2, "past_sequence_length", 32}));
      outputs.push_back(value("present" + end, "float32", {"batch_size", 2, "total_sequence_length", 32}));
    }
  const json& model = graph_of(found, "model.onnx");
  EXPECT_EQ(model["inputs"], inputs);
  EXPECT_EQ(model["outputs"], outputs);
  for (const json& graph : found["graphs"]) {
    EXPECT_EQ(graph["ir_version"], 8);
    EXPECT_EQ(graph["opsets"], json({{"ai.onnx", 17}, {"com.microsoft", 1}}));
  }
  const std::string text = run(out_).out;
  for (const char* line : {"  in   past_key_values.0–3.key    float32 [batch_size, 2, past_sequence_length, 32]\n",
                           "  out  present.0–3.value          float32 [batch_size, 2, total_sequence_length, 32]\n",
                           "  out  logits                     float32 [batch_size, 1, 2048]\n",
                           "  28 × com.microsoft.MatMulNBits: 4 bits, blocks of 32\n",
                           "  1 × com.microsoft.MatMulNBits: 8 bits, blocks of 128\n"})
    EXPECT_NE(text.find(line), std::string::npos) << line << text;
}

TEST_F(Inspect, GraphsAreCounted) {
  make_package({"--block-size", "64", "--text", "int8", "--embedding", "int4"});
  const json found = report(out_, {"--tensors"});
  for (const json& graph : found["graphs"]) {
    const std::string file = graph["file"];
    EXPECT_EQ(graph["bytes"], fs::file_size(out_ / file));
    const onnx::ModelProto model = read_model(out_ / file);
    Histogram histogram;
    count(model.graph(), histogram);
    EXPECT_EQ(graph["operators"], json(histogram)) << file;
    int nodes = 0;
    for (const auto& [op, number] : histogram) nodes += number;
    EXPECT_EQ(graph["nodes"], nodes) << file;
    EXPECT_EQ(graph["initializers"], model.graph().initializer_size()) << file;
    ASSERT_EQ(graph["tensors"].size(), static_cast<std::size_t>(model.graph().initializer_size())) << file;
    for (int i = 0; i < model.graph().initializer_size(); ++i) {
      const onnx::TensorProto& initializer = model.graph().initializer(i);
      const json& tensor = graph["tensors"][static_cast<std::size_t>(i)];
      EXPECT_EQ(tensor["name"], initializer.name());
      EXPECT_EQ(tensor["shape"], json(std::vector<std::int64_t>(initializer.dims().begin(), initializer.dims().end())));
      std::map<std::string, std::string> external;
      for (const auto& entry : initializer.external_data()) external[entry.key()] = entry.value();
      if (external.empty()) {
        EXPECT_EQ(tensor["file"], nullptr);
        EXPECT_EQ(tensor["offset"], nullptr);
        continue;
      }
      EXPECT_EQ(tensor["file"], external["location"]);
      EXPECT_EQ(std::to_string(tensor["offset"].get<std::uint64_t>()), external["offset"]);
      EXPECT_EQ(std::to_string(tensor["bytes"].get<std::uint64_t>()), external["length"]);
    }
  }
  EXPECT_GT(graph_of(found, "vision.onnx")["operators"]["com.microsoft.MultiHeadAttention"], 0) << "stands in a Loop";
  // q, k, v, o, gate, up and down of 4 layers, and the head.
  EXPECT_EQ(
      graph_of(found, "model.onnx")["quantized"],
      json::array({{{"op", "com.microsoft.MatMulNBits"}, {"bits", 8}, {"block_size", 64}, {"nodes", 4 * 7 + 1}}}));
  EXPECT_EQ(
      graph_of(found, "embedding.onnx")["quantized"],
      json::array({{{"op", "com.microsoft.GatherBlockQuantized"}, {"bits", 4}, {"block_size", 64}, {"nodes", 1}}}));
  EXPECT_EQ(graph_of(found, "vision.onnx")["quantized"], json::array());
}

TEST_F(Inspect, SharedBytesAreFound) {
  make_package({"--text", "int4", "--embedding", "int4"});
  const json found = report(out_);
  const json& table = data_of(found, "embedding.onnx.data");
  // The codes, half a byte a weight, a float16 scale for each block of 32 and half a byte of zero point: all of it is
  // the head's too.
  constexpr std::int64_t kBlocks = kHidden / 32;
  constexpr std::int64_t kTable = kVocabulary * (kHidden / 2 + kBlocks * 2 + kBlocks / 2);
  EXPECT_EQ(table["used_bytes"], kTable);
  EXPECT_EQ(table["shared_bytes"], kTable);
  EXPECT_EQ(table["graphs"], json({"embedding.onnx", "model.onnx"}));
  EXPECT_EQ(table["initializers"], 6);
  for (const json& data : found["data_files"]) {
    EXPECT_EQ(data["bytes"], fs::file_size(out_ / data["name"].get<std::string>()));
    EXPECT_EQ(data["used_bytes"].get<std::int64_t>() + data["unused_bytes"].get<std::int64_t>(), data["bytes"]);
    EXPECT_EQ(data["gaps"] == 0, data["unused_bytes"] == 0);
  }
  EXPECT_EQ(data_of(found, "model.onnx.data")["shared_bytes"], 0);
  std::int64_t role_bytes = 0;
  for (const json& role : found["manifest"]["roles"]) role_bytes += role["bytes"].get<std::int64_t>();
  std::int64_t used = 0;
  for (const json& data : found["data_files"]) used += data["used_bytes"].get<std::int64_t>();
  EXPECT_EQ(used, role_bytes) << "the manifest counts every weight once, too";
}

TEST_F(Inspect, BytesThatNobodyRefersToAreCounted) {
  make_package({"--components", "text"});
  const json before = data_of(report(out_), "model.onnx.data");
  std::ofstream(out_ / "model.onnx.data", std::ios::binary | std::ios::app) << std::string(100, 'x');
  const json after = data_of(report(out_), "model.onnx.data");
  EXPECT_EQ(after["used_bytes"], before["used_bytes"]);
  EXPECT_EQ(after["unused_bytes"].get<int>(), before["unused_bytes"].get<int>() + 100);
  EXPECT_EQ(after["gaps"].get<int>(), before["gaps"].get<int>() + 1);
}

TEST_F(Inspect, APackageWithoutGraphsIsNoPackage) {
  fs::create_directory(out_);
  std::ofstream(out_ / "manifest.json")
      << R"({"versions": {}, "recipe_name": "int4", "components": ["text"], "roles": {}, "files": {}})";
  EXPECT_EQ(findings(out_),
            json::array({{{"kind", "graph"}, {"message", out_.string() + ": holds no .onnx file that can be read"}}}));
}

TEST_F(Inspect, ManifestAndFilesAreTheFolders) {
  make_package({"--recipe", "fp16", "--max-length", "77", "--max-pixels", "90000"});
  const json found = report(out_);
  EXPECT_EQ(keys(found), (std::vector<std::string>{"clients", "data_files", "files", "findings", "graphs", "kind",
                                                   "manifest", "notes"}));
  EXPECT_EQ(found["kind"], "package");
  EXPECT_EQ(found["notes"], json::array({kForGenaiAlone}));
  const json& manifest = found["manifest"];
  EXPECT_EQ(keys(manifest),
            (std::vector<std::string>{"components", "max_length", "max_pixels", "recipe_name", "roles", "versions"}));
  EXPECT_EQ(manifest["recipe_name"], "fp16");
  EXPECT_EQ(manifest["components"], json({"vision", "embedding", "text"}));
  EXPECT_EQ(manifest["max_length"], 77);
  EXPECT_EQ(manifest["max_pixels"], 90000);
  EXPECT_TRUE(manifest["versions"].contains("qwen3vl-export"));
  const json written = json::parse(read_bytes(out_ / "manifest.json"));
  EXPECT_EQ(manifest["roles"].size(), written["roles"].size());
  for (const json& role : manifest["roles"]) {
    const json& expected = written["roles"][role["role"].get<std::string>()];
    for (const char* key : {"encoding", "weights", "bytes", "files"}) EXPECT_EQ(role[key], expected[key]) << role;
  }
  std::map<std::string, std::uint64_t> files;
  for (const auto& entry : fs::directory_iterator(out_)) files[entry.path().filename()] = entry.file_size();
  ASSERT_EQ(found["files"].size(), files.size());
  for (const json& file : found["files"]) EXPECT_EQ(file["bytes"], files.at(file["name"])) << file;
}

TEST_F(Inspect, ClientsAreToldWhatTheyRead) {
  make_package();
  const json found = report(out_);
  const json& runtime = client_of(found, "onnxruntime");
  EXPECT_EQ(runtime["loads"], true);
  EXPECT_EQ(names(runtime["files"]), (std::set<std::string>{"vision.onnx", "vision.onnx.data", "embedding.onnx",
                                                            "embedding.onnx.data", "model.onnx", "model.onnx.data"}));
  const json& genai = client_of(found, "onnxruntime-genai");
  EXPECT_EQ(genai["loads"], true);
  EXPECT_EQ(names(genai["files"]),
            (std::set<std::string>{"vision.onnx", "vision.onnx.data", "embedding.onnx", "embedding.onnx.data",
                                   "model.onnx", "model.onnx.data", "genai_config.json", "vision_processor.json",
                                   "tokenizer.json", "tokenizer_config.json", "chat_template.json"}));
}

TEST_F(Inspect, ADataFileThatWasCutShortIsReported) {
  make_package();
  const auto size = fs::file_size(out_ / "model.onnx.data");
  fs::resize_file(out_ / "model.onnx.data", size - 1);
  const json found = report(out_);
  ASSERT_EQ(found["findings"].size(), 2U) << found["findings"];
  EXPECT_EQ(found["findings"][0]["kind"], "data");
  const std::string message = found["findings"][0]["message"];
  EXPECT_TRUE(message.starts_with("model.onnx: the initializer ")) << message;
  EXPECT_TRUE(message.ends_with(" on in model.onnx.data, which ends at " + std::to_string(size - 1) +
                                "; the file was cut short"))
      << message;
  EXPECT_EQ(found["findings"][1]["kind"], "onnxruntime-genai");
  EXPECT_EQ(client_of(found, "onnxruntime")["loads"], false);
  EXPECT_EQ(client_of(found, "onnxruntime-genai")["loads"], false);
  EXPECT_EQ(found["notes"], json::array({"model.onnx.data has " + std::to_string(size - 1) + " bytes, but " +
                                             std::to_string(size) + " when the package was written",
                                         kForGenaiAlone}));
  EXPECT_NE(run(out_).out.find("onnxruntime does NOT load:"), std::string::npos);
}

TEST_F(Inspect, ADataFileThatIsGoneIsReported) {
  make_package({"--text", "int4", "--embedding", "int4"});
  fs::remove(out_ / "embedding.onnx.data");
  const json found = report(out_);
  std::multiset<std::string> messages;
  for (const json& finding : found["findings"])
    if (finding["kind"] != "onnxruntime-genai") messages.insert(finding["message"].get<std::string>());
  EXPECT_EQ(messages,
            (std::multiset<std::string>{"embedding.onnx.data: is missing, but manifest.json lists it",
                                        "embedding.onnx: has weights in embedding.onnx.data, which is missing",
                                        "model.onnx: has weights in embedding.onnx.data, which is missing"}));
  EXPECT_EQ(data_of(found, "embedding.onnx.data")["bytes"], nullptr);
  EXPECT_NE(run(out_).out.find("embedding.onnx.data (MISSING)"), std::string::npos);
}

TEST_F(Inspect, ATokenizerThatIsGoneKeepsGenaiAlone) {
  make_package();
  fs::remove(out_ / "tokenizer.json");
  const json found = report(out_);
  EXPECT_EQ(found["findings"],
            json::array({{{"kind", "manifest"}, {"message", "tokenizer.json: is missing, but manifest.json lists it"}},
                         {{"kind", "onnxruntime-genai"}, {"message", "tokenizer.json: is missing"}}}));
  EXPECT_EQ(client_of(found, "onnxruntime")["loads"], true);
  const json& genai = client_of(found, "onnxruntime-genai");
  EXPECT_EQ(genai["loads"], false);
  for (const json& file : genai["files"]) EXPECT_EQ(file["bytes"].is_null(), file["name"] == "tokenizer.json");
}

TEST_F(Inspect, APackageOfPartsOrWithoutManifestIsSound) {
  make_package({"--components", "vision,text"});
  const std::string no_genai = "there is no genai_config.json: onnxruntime-genai does not load this package";
  json found = report(out_);
  EXPECT_EQ(found["findings"], json::array());
  EXPECT_EQ(found["notes"], json::array({no_genai, kForGenaiAlone}));
  EXPECT_EQ(found["clients"].size(), 1U);
  EXPECT_EQ(found["manifest"]["max_pixels"], nullptr);
  fs::remove(out_ / "manifest.json");
  found = report(out_);
  EXPECT_EQ(found["findings"], json::array());
  EXPECT_EQ(found["manifest"], nullptr);
  EXPECT_EQ(found["notes"], json::array({"there is no manifest.json: nothing says how the package was made", no_genai,
                                         kForGenaiAlone}));
  EXPECT_EQ(graph_of(found, "model.onnx")["quantized"][0]["nodes"], 4 * 7);
}

TEST_F(Inspect, DamagedFilesOfAPackageAreReported) {
  make_package();
  fs::resize_file(out_ / "vision.onnx", fs::file_size(out_ / "vision.onnx") - 5);
  std::ofstream(out_ / "genai_config.json") << "[]";
  std::ofstream(out_ / "manifest.json") << R"({"versions": {}, "recipe_name": 7})";
  const json found = report(out_);
  std::map<std::string, std::vector<std::string>> messages;
  for (const json& finding : found["findings"]) messages[finding["kind"]].push_back(finding["message"]);
  EXPECT_EQ(messages["manifest"], (std::vector<std::string>{"manifest.json: recipe_name is 7, expected a string"}));
  EXPECT_EQ(messages["graph"], (std::vector<std::string>{"vision.onnx: is not an ONNX model, or a damaged one"}));
  EXPECT_EQ(messages["onnxruntime-genai"],
            (std::vector<std::string>{"genai_config.json: the document is an array, expected an object"}));
  EXPECT_EQ(found["graphs"].size(), 2U);
  EXPECT_EQ(found["manifest"], nullptr);
  EXPECT_EQ(client_of(found, "onnxruntime")["loads"], false);
}

}  // namespace
}  // namespace q3vl::inspect_package_test
