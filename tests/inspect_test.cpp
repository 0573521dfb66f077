// `qwen3vl-export inspect` on checkpoints. What it counts is counted here once more, from the list of tensors that a
// checkpoint was made of.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "support/inspect_fixture.h"
#include "support/odd_model.h"

namespace q3vl::inspect_test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kGate = "model.language_model.layers.1.mlp.gate_proj.weight";

/// Nothing divides its sizes; of enough layers that their order is not that of the alphabet.
SynthOptions odd() {
  SynthOptions options = odd_model(2);
  options.max_shard_bytes = 150'000;
  options.model.text.num_hidden_layers = 5;
  options.model.vision.depth = 12;
  return options;
}

/// What lies below one prefix of tensor names.
struct Sum {
  std::int64_t parameters = 0;
  std::int64_t bytes = 0;
  std::map<std::string, std::int64_t> by_type;
};

/// Holds every node of a module tree against sums over the list of tensors. A folded node stands for several prefixes.
class TreeCheck {
 public:
  explicit TreeCheck(const SynthOptions& options) : tensors_(synthetic_tensors(options.model, options.type)) {
    if (options.edit_tensors) options.edit_tensors(tensors_);
    for (const SynthTensor& tensor : tensors_) {
      add(sums_[""], tensor);
      for (auto dot = tensor.name.find('.'); dot != std::string::npos; dot = tensor.name.find('.', dot + 1))
        add(sums_[tensor.name.substr(0, dot)], tensor);
    }
  }

  void check(const json& root) {
    check(root, {""});
    std::set<std::string> all;
    for (const auto& [prefix, sum] : sums_) all.insert(prefix);
    EXPECT_EQ(seen_, all);
    std::set<std::string> names;
    for (const SynthTensor& tensor : tensors_) names.insert(tensor.name);
    EXPECT_EQ(seen_tensors_, names);
  }

 private:
  static void add(Sum& sum, const SynthTensor& tensor) {
    std::int64_t count = 1;
    for (const std::int64_t size : tensor.shape) count *= size;
    sum.parameters += count;
    sum.bytes += count * (tensor.type == DataType::float32 ? 4 : 2);
    sum.by_type[tensor.type == DataType::float32   ? "float32"
                : tensor.type == DataType::float16 ? "float16"
                                                   : "bfloat16"] += count;
  }

  void check(const json& node, const std::vector<std::string>& prefixes) {
    Sum expected;
    for (const std::string& prefix : prefixes) {
      ASSERT_TRUE(sums_.contains(prefix)) << prefix;
      EXPECT_TRUE(seen_.insert(prefix).second) << prefix << " is shown twice";
      const Sum& sum = sums_.at(prefix);
      expected.parameters += sum.parameters;
      expected.bytes += sum.bytes;
      for (const auto& [type, count] : sum.by_type) expected.by_type[type] += count;
    }
    EXPECT_EQ(node["parameters"], expected.parameters) << prefixes.front();
    EXPECT_EQ(node["bytes"], expected.bytes) << prefixes.front();
    EXPECT_EQ(node["dtypes"], json(expected.by_type)) << prefixes.front();
    for (const json& tensor : node["tensors"])
      for (const std::string& prefix : prefixes) check_tensor(tensor, join(prefix, tensor["name"]));
    for (const json& child : node["children"]) check(child, below(prefixes, child));
  }

  void check_tensor(const json& tensor, const std::string& name) {
    EXPECT_TRUE(seen_tensors_.insert(name).second) << name << " is shown twice";
    const auto found =
        std::find_if(tensors_.begin(), tensors_.end(), [&](const SynthTensor& t) { return t.name == name; });
    ASSERT_NE(found, tensors_.end()) << name;
    EXPECT_EQ(tensor["shape"], json(found->shape)) << name;
    EXPECT_EQ(tensor["dtype"], std::string(name_of(found->type))) << name;
  }

  static std::vector<std::string> below(const std::vector<std::string>& prefixes, const json& child) {
    std::vector<std::string> parts;
    if (child.contains("indexes")) {
      for (const json& range : child["indexes"])
        for (std::int64_t i = range[0]; i <= range[1]; ++i) parts.push_back(std::to_string(i));
    } else {
      parts.push_back(child["name"]);
    }
    EXPECT_EQ(child["copies"], parts.size());
    std::vector<std::string> result;
    for (const std::string& prefix : prefixes)
      for (const std::string& part : parts) result.push_back(join(prefix, part));
    return result;
  }

  static std::string join(const std::string& prefix, const std::string& part) {
    return prefix.empty() ? part : prefix + "." + part;
  }

  std::vector<SynthTensor> tensors_;
  std::map<std::string, Sum> sums_;
  std::set<std::string> seen_;
  std::set<std::string> seen_tensors_;
};

/// The child of that name, at each step of a path.
json module_at(json node, const std::vector<std::string>& path) {
  for (const std::string& name : path) {
    const json children = node["children"];
    const auto found = std::find_if(children.begin(), children.end(), [&](const json& c) { return c["name"] == name; });
    if (found == children.end()) throw std::runtime_error("no module " + name);
    node = *found;
  }
  return node;
}

TEST_F(Inspect, ModulesAddUp) {
  make(tiny());
  const json found = report(checkpoint_);
  EXPECT_EQ(keys(found), (std::vector<std::string>{"config", "findings", "kind", "model", "shards"}));
  EXPECT_EQ(found["kind"], "checkpoint");
  const json& tree = found["model"];
  EXPECT_EQ(keys(tree),
            (std::vector<std::string>{"bytes", "children", "copies", "dtypes", "name", "parameters", "tensors"}));
  TreeCheck(tiny()).check(tree);
  const json layers = module_at(tree, {"model", "language_model", "layers"});
  ASSERT_EQ(layers["children"].size(), 1U);
  EXPECT_EQ(layers["children"][0]["name"], "0–3");
  EXPECT_EQ(layers["children"][0]["indexes"], json::parse("[[0, 3]]"));
  // 4 layers of q and o [128, 128], k and v [64, 128], two norms of a head's 32.
  EXPECT_EQ(module_at(layers, {"0–3", "self_attn"})["parameters"], 4 * (2 * 128 * 128 + 2 * 64 * 128 + 2 * 32));
  EXPECT_EQ(module_at(tree, {"model", "language_model", "embed_tokens"})["bytes"], kVocabulary * kHidden * 2);
}

TEST_F(Inspect, ModulesOfAnOddCheckpointAddUp) {
  make(odd());
  const json tree = report(checkpoint_)["model"];
  TreeCheck(odd()).check(tree);
  EXPECT_EQ(module_at(tree, {"lm_head"})["parameters"], kVocabulary * 72);
  EXPECT_EQ(tree["dtypes"].size(), 3U);
  // Types repeat every three tensors and a block has twelve: all twelve are alike. A layer has eleven.
  EXPECT_EQ(module_at(tree, {"model", "visual", "blocks"})["children"].size(), 1U);
  EXPECT_EQ(module_at(tree, {"model", "visual", "blocks", "0–11"})["copies"], 12);
  const json layers = module_at(tree, {"model", "language_model", "layers"});
  ASSERT_EQ(layers["children"].size(), 3U);
  EXPECT_EQ(layers["children"][0]["indexes"], json::parse("[[0, 0], [3, 3]]"));
  EXPECT_EQ(layers["children"][1]["indexes"], json::parse("[[1, 1], [4, 4]]"));
  EXPECT_EQ(layers["children"][2]["indexes"], json::parse("[[2, 2]]"));
}

TEST_F(Inspect, TextShowsTheSame) {
  make(tiny());
  const CommandResult result = run(checkpoint_);
  ASSERT_EQ(result.exit_code, 0);
  for (const char* line : {
           "checkpoint: 1,498,432 parameters in 121 tensors, 3.0 MB\n",
           "text    4 layers, hidden 128, MLP 256, 4 heads, 2 KV heads, head_dim 32, vocabulary 2048, context 4096\n",
           "lm_head tied to embed_tokens\n",
           "256 positions, DeepStack after blocks [0, 1, 2]\n",
           "    layers.0–3 (4 ×)                          591,104    1.2 MB  bfloat16\n",
           "    embed_tokens                              262,144    524 kB  bfloat16  weight [2048, 128]\n",
           "    patch_embed.proj                           98,368    197 kB  bfloat16  bias [64], weight [64, 3, 2, "
           "16, "
           "16]\n",
           "    deepstack_merger_list.0–2 (3 ×)           297,600    595 kB  bfloat16\n",
           "model.safetensors: 3.0 MB, 121 tensors\n",
       })
    EXPECT_NE(result.out.find(line), std::string::npos) << line << "\n" << result.out;
  EXPECT_LT(std::count(result.out.begin(), result.out.end(), '\n'), 60) << "does not fit on a screen";
}

TEST_F(Inspect, ALayerThatDiffersStandsApart) {
  SynthOptions options = tiny();
  options.edit_tensors = on(kGate, [](auto& tensors, std::size_t at) { tensors[at].type = DataType::float16; });
  make(options);
  const json found = report(checkpoint_);
  EXPECT_EQ(found["findings"], json::array()) << "another type is no fault";
  TreeCheck(options).check(found["model"]);
  const json layers = module_at(found["model"], {"model", "language_model", "layers"});
  ASSERT_EQ(layers["children"].size(), 2U);
  EXPECT_EQ(layers["children"][0]["name"], "0, 2–3");
  EXPECT_EQ(layers["children"][0]["copies"], 3);
  EXPECT_EQ(layers["children"][1]["name"], "1");
  EXPECT_EQ(module_at(layers, {"1", "mlp", "gate_proj"})["dtypes"], json({{"float16", 256 * 128}}));
  const std::string text = run(checkpoint_).out;
  EXPECT_NE(text.find("      layers.0, 2–3 (3 ×) "), std::string::npos) << text;
  EXPECT_NE(text.find("      layers.1 "), std::string::npos) << text;
  EXPECT_NE(text.find("          gate_proj "), std::string::npos) << text;
}

TEST_F(Inspect, ConfigIsTheModels) {
  make(odd());
  const SynthModel model = odd().model;
  const json config = report(checkpoint_)["config"];
  EXPECT_EQ(config["text"], json({{"num_hidden_layers", 5},
                                  {"hidden_size", 72},
                                  {"intermediate_size", 100},
                                  {"num_attention_heads", 6},
                                  {"num_key_value_heads", 3},
                                  {"head_dim", 24},
                                  {"vocab_size", kVocabulary},
                                  {"max_position_embeddings", 4096},
                                  {"rope_theta", model.text.rope_theta},
                                  {"mrope_section", {5, 4, 3}},
                                  {"tie_word_embeddings", false},
                                  {"bos_token_id", model.token_id("<|endoftext|>")},
                                  {"eos_token_id", {model.token_id("<|im_end|>")}},
                                  {"pad_token_id", nullptr}}));
  EXPECT_EQ(config["vision"], json({{"depth", 12},
                                    {"hidden_size", 60},
                                    {"intermediate_size", 92},
                                    {"num_heads", 5},
                                    {"patch_size", 8},
                                    {"temporal_patch_size", 2},
                                    {"spatial_merge_size", 2},
                                    {"num_position_embeddings", 49},
                                    {"deepstack_visual_indexes", {3, 1}},
                                    {"image_token_id", model.token_id("<|image_pad|>")},
                                    {"video_token_id", model.token_id("<|video_pad|>")},
                                    {"vision_start_token_id", model.token_id("<|vision_start|>")},
                                    {"vision_end_token_id", model.token_id("<|vision_end|>")}}));
}

TEST_F(Inspect, ShardsAndTensorsAreWhereTheHeadersSay) {
  make(odd());
  EXPECT_FALSE(report(checkpoint_).contains("tensors"));
  const json found = report(checkpoint_, {"--tensors"});
  std::map<std::string, json> listed;
  for (const json& tensor : found["tensors"]) listed[tensor["name"]] = tensor;
  ASSERT_EQ(listed.size(), found["tensors"].size());
  const std::string text = run(checkpoint_, {"--tensors"}).out;
  ASSERT_GT(found["shards"].size(), 3U);
  std::size_t count = 0;
  for (const json& shard : found["shards"]) {
    const std::string name = shard["name"];
    const std::string bytes = read_bytes(checkpoint_ / name);
    EXPECT_EQ(shard["bytes"], bytes.size());
    std::uint64_t length = 0;
    std::memcpy(&length, bytes.data(), sizeof(length));
    json header = json::parse(bytes.substr(8, length));
    header.erase("__metadata__");
    EXPECT_EQ(shard["tensors"], header.size());
    for (const auto& item : header.items()) {
      const json& tensor = listed.at(item.key());
      const std::uint64_t begin = item.value()["data_offsets"][0];
      const std::uint64_t end = item.value()["data_offsets"][1];
      EXPECT_EQ(tensor["file"], name);
      EXPECT_EQ(tensor["shape"], item.value()["shape"]);
      EXPECT_EQ(tensor["offset"], 8 + length + begin);
      EXPECT_EQ(tensor["bytes"], end - begin);
      EXPECT_NE(text.find(std::to_string(end - begin) + " bytes in " + name + " from byte " +
                          std::to_string(8 + length + begin) + " on\n"),
                std::string::npos)
          << item.key();
      ++count;
    }
  }
  EXPECT_EQ(count, listed.size());
}

TEST_F(Inspect, MissingTensor) {
  SynthOptions options = tiny();
  options.edit_tensors = [](std::vector<SynthTensor>& tensors) {
    std::erase_if(tensors, [](const SynthTensor& t) { return t.name == kGate; });
  };
  make(options);
  const json found = report(checkpoint_);
  EXPECT_EQ(found["findings"], json::array({{{"kind", "missing_tensor"},
                                             {"tensor", kGate},
                                             {"message", std::string("\"") + kGate + "\" [256, 128] is missing"}}}));
  TreeCheck(options).check(found["model"]);
  EXPECT_EQ(module_at(found["model"], {"model", "language_model", "layers"})["children"].size(), 2U);
}

TEST_F(Inspect, WrongShapeAndType) {
  SynthOptions options = tiny();
  const std::string norm = "model.visual.merger.norm.bias";
  options.sparse = true;
  options.edit_tensors = [&](std::vector<SynthTensor>& tensors) {
    on(kGate, [](auto& list, std::size_t at) { list[at].shape[0] -= 1; })(tensors);
    on(norm, [](auto& list, std::size_t at) { list[at].type = DataType::int8; })(tensors);
  };
  make(options);
  EXPECT_EQ(findings(checkpoint_),
            json::array({{{"kind", "wrong_type"},
                          {"tensor", norm},
                          {"message", "\"" + norm + "\" is int8, expected bfloat16, float16 or float32"}},
                         {{"kind", "wrong_shape"},
                          {"tensor", kGate},
                          {"message", std::string("\"") + kGate +
                                          "\" has shape [255, 128], expected [256, 128] from config.json"}}}));
}

TEST_F(Inspect, UnexpectedTensor) {
  SynthOptions options = tiny();
  const std::string name = "model.language_model.layers.0.extra.weight";
  options.edit_tensors = [&](std::vector<SynthTensor>& tensors) {
    SynthTensor extra = tensors.front();
    extra.name = name;
    extra.shape = {2, 3};
    tensors.push_back(extra);
    SynthTensor head = tensors.front();
    head.name = "lm_head.weight";  // which a tied model may store all the same
    head.shape = {kVocabulary, kHidden};
    tensors.push_back(head);
  };
  make(options);
  EXPECT_EQ(
      findings(checkpoint_),
      json::array({{{"kind", "unexpected_tensor"},
                    {"tensor", name},
                    {"message", "\"" + name + "\" [2, 3] is not part of the model that config.json describes"}}}));
}

TEST_F(Inspect, ManyFindingsAreCutInTextOnly) {
  SynthOptions options = tiny();
  options.edit_tensors = [](std::vector<SynthTensor>& tensors) {
    std::erase_if(tensors, [](const SynthTensor& t) { return t.name.starts_with("model.language_model.layers"); });
  };
  make(options);
  const CommandResult text = run(checkpoint_);
  EXPECT_EQ(text.exit_code, 3);
  EXPECT_NE(text.out.find("findings: 44\n"), std::string::npos) << text.out;
  EXPECT_NE(text.out.find("  and 24 more (--json lists them all)\n"), std::string::npos) << text.out;
  EXPECT_EQ(json::parse(run(checkpoint_, {"--json"}).out)["findings"].size(), 44U);
}

TEST_F(Inspect, ConfigsThatCannotBeUsedAreReported) {
  make(tiny());
  const auto expect_config_finding = [&](const std::string& message) {
    const json found = report(checkpoint_);
    EXPECT_EQ(found["findings"], json::array({{{"kind", "config"}, {"message", message}}}));
    EXPECT_EQ(found["config"], nullptr);
    TreeCheck(tiny()).check(found["model"]);
  };
  edit_json("config.json", [](json& config) { config["model_type"] = "phi4mm"; });
  expect_config_finding(c("config.json") +
                        ": model_type is \"phi4mm\"; this program exports dense Qwen3-VL models (model_type "
                        "\"qwen3_vl\") and dense Qwen3 language models (\"qwen3\")");
  std::ofstream(checkpoint_ / "config.json") << "{\"model_type\": ";
  const std::string message = findings(checkpoint_)[0]["message"];
  EXPECT_TRUE(message.starts_with(c("config.json") + ": is not valid JSON: ")) << message;
  fs::remove(checkpoint_ / "config.json");
  expect_config_finding(c("config.json") + ": cannot open: No such file or directory");
}

TEST_F(Inspect, OtherFilesThatAreMissingAreReported) {
  make(tiny());
  fs::remove(checkpoint_ / "tokenizer.json");
  fs::remove(checkpoint_ / "preprocessor_config.json");
  const json found = findings(checkpoint_);
  ASSERT_EQ(found.size(), 2U);
  EXPECT_EQ(found[0]["kind"], "config");
  EXPECT_NE(found[0]["message"].get<std::string>().find("preprocessor_config.json"), std::string::npos) << found[0];
  EXPECT_EQ(found[1],
            json({{"kind", "files"},
                  {"message", c("tokenizer.json") + ": is missing; no client could read or write text without it"}}));
}

TEST_F(Inspect, AnIncompleteDownloadIsReported) {
  make(odd());
  const json whole = report(checkpoint_);
  const std::string gone = whole["shards"][1]["name"];
  fs::remove(checkpoint_ / gone);
  const json found = report(checkpoint_);
  ASSERT_EQ(found["findings"].size(), 1 + whole["shards"][1]["tensors"].get<std::size_t>());
  EXPECT_EQ(found["findings"][0],
            json({{"kind", "files"},
                  {"message", c(gone) + ": is missing, but model.safetensors.index.json names it; the download is "
                                        "incomplete"}}));
  EXPECT_EQ(found["findings"][1]["kind"], "missing_tensor");
  EXPECT_EQ(found["shards"].size(), whole["shards"].size() - 1);
}

TEST_F(Inspect, ShardsWithoutTheirIndexAreRead) {
  make(odd());
  const json whole = report(checkpoint_);
  fs::rename(checkpoint_ / "model.safetensors.index.json", folder_ / "index.json");
  json found = report(checkpoint_);
  EXPECT_EQ(found["findings"],
            json::array({{{"kind", "files"},
                          {"message", c("model.safetensors") + ": is missing, and so is model.safetensors.index.json; "
                                                               "expected a checkpoint in the safetensors format"}}}));
  EXPECT_EQ(found["model"], whole["model"]);
  EXPECT_EQ(found["shards"], whole["shards"]);
  std::ofstream(checkpoint_ / "model.safetensors.index.json") << "{}";
  found = report(checkpoint_);
  EXPECT_EQ(
      found["findings"],
      json::array({{{"kind", "files"}, {"message", c("model.safetensors.index.json") + ": weight_map is missing"}}}));
  EXPECT_EQ(found["shards"], whole["shards"]);
  json index = json::parse(read_bytes(folder_ / "index.json"));
  index["weight_map"].erase(kGate);
  std::ofstream(checkpoint_ / "model.safetensors.index.json") << index.dump();
  found = report(checkpoint_);
  ASSERT_EQ(found["findings"].size(), 1U);
  EXPECT_NE(found["findings"][0]["message"].get<std::string>().find(
                std::string("holds the tensor \"") + kGate + "\", which model.safetensors.index.json does not list"),
            std::string::npos)
      << found["findings"];
  EXPECT_EQ(found["model"], whole["model"]);
}

TEST_F(Inspect, ATensorInTwoShardsIsReported) {
  make(tiny());
  fs::rename(checkpoint_ / "model.safetensors", checkpoint_ / "a.safetensors");
  fs::copy_file(checkpoint_ / "a.safetensors", checkpoint_ / "b.safetensors");
  const json found = report(checkpoint_);
  ASSERT_EQ(found["findings"].size(), 1 + synthetic_tensors(tiny().model, DataType::bfloat16).size());
  EXPECT_NE(std::find(found["findings"].begin(), found["findings"].end(),
                      json({{"kind", "files"},
                            {"message", c("b.safetensors") + ": holds the tensor \"" + kGate +
                                            "\", which a.safetensors holds too; the files do not belong together"}})),
            found["findings"].end());
  TreeCheck(tiny()).check(found["model"]);
}

TEST_F(Inspect, AHeaderThatCannotBeReadIsRefused) {
  make(tiny());
  const std::string path = c("model.safetensors");
  const std::string bytes = read_bytes(path);
  write_bytes(path, bytes.substr(0, 5));
  expect_refusal(checkpoint_, path + ": is 5 bytes long, too short for a safetensors file");
  std::string broken = bytes;
  broken[8] = '[';
  write_bytes(path, broken);
  expect_refusal(checkpoint_, path + ": its header does not begin with {; it is not a safetensors file");
  write_bytes(path, bytes.substr(0, bytes.size() - 2));
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof(length));
  expect_refusal(checkpoint_, path + ": holds " + std::to_string(bytes.size() - 10 - length) +
                                  " bytes of tensors, but its header describes " +
                                  std::to_string(bytes.size() - 8 - length) +
                                  "; the file was cut short or is still being downloaded");
}

TEST_F(Inspect, OtherPlacesAreRefused) {
  expect_refusal(folder_ / "nowhere",
                 (folder_ / "nowhere").string() + ": is not a folder; expected a checkpoint or a package");
  std::ofstream(folder_ / "file") << "x";
  expect_refusal(folder_ / "file",
                 (folder_ / "file").string() + ": is not a folder; expected a checkpoint or a package");
  fs::create_directory(folder_ / "empty");
  std::ofstream(folder_ / "empty" / "config.json") << "{}";
  expect_refusal(folder_ / "empty", (folder_ / "empty").string() +
                                        ": is neither a checkpoint (it has no *.safetensors) nor a package (it has no "
                                        "*.onnx, genai_config.json or manifest.json)");
  const CommandResult bare = run_command({Q3VL_EXPORT_BINARY, "inspect"});
  EXPECT_EQ(bare.exit_code, 2);
  EXPECT_EQ(bare.err, "qwen3vl-export: folder is required; see qwen3vl-export inspect --help\n");
  EXPECT_NE(run_command({Q3VL_EXPORT_BINARY, "--help"}).out.find("qwen3vl-export inspect CHECKPOINT|PACKAGE"),
            std::string::npos);
}

TEST_F(Inspect, LibTorchIsNotOpened) {
  make(tiny());
  const fs::path alone = folder_ / "alone" / "qwen3vl-export";  // without LibTorch's library beside it
  fs::create_directory(alone.parent_path());
  fs::copy_file(Q3VL_EXPORT_BINARY, alone);
  fs::copy_file(Q3VL_EXPORT_LIBRARY, alone.parent_path() / fs::path(Q3VL_EXPORT_LIBRARY).filename());
  EXPECT_EQ(run_command({alone.string(), checkpoint_.string(), "-o", out_.string(), "-q"}).exit_code, 1);
  EXPECT_EQ(run_command({alone.string(), "inspect", checkpoint_.string()}).exit_code, 0);
}

}  // namespace
}  // namespace q3vl::inspect_test
