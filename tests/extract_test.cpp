// `extract` as its users meet it. What it writes is read back by a reader of its own, which knows safetensors and
// nothing of this program, and held against the source read the same way.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>

#include "support/command_line_test.h"

namespace q3vl::extract_test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

struct StoredTensor {
  std::string dtype;
  std::vector<std::int64_t> shape;
  std::string bytes;

  bool operator==(const StoredTensor&) const = default;
};

/// The tensors of one file, in the order of their bytes. The file must hold nothing else.
std::vector<std::pair<std::string, StoredTensor>> read_shard(const fs::path& path) {
  const std::string file = read_bytes(path);
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), 8);
  EXPECT_EQ(length % 8, 0U) << path;
  const json header = json::parse(file.substr(8, length));
  std::map<std::uint64_t, std::pair<std::string, StoredTensor>> by_offset;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    const std::uint64_t begin = entry["data_offsets"][0];
    const std::uint64_t end = entry["data_offsets"][1];
    by_offset[begin] = {name, {entry["dtype"], entry["shape"], file.substr(8 + length + begin, end - begin)}};
  }
  EXPECT_EQ(header["__metadata__"], json({{"format", "pt"}})) << path;
  std::vector<std::pair<std::string, StoredTensor>> tensors;
  std::uint64_t reached = 0;
  for (auto& [begin, tensor] : by_offset) {
    EXPECT_EQ(begin, reached) << path << " " << tensor.first;
    reached += tensor.second.bytes.size();
    tensors.push_back(std::move(tensor));
  }
  EXPECT_EQ(8 + length + reached, file.size()) << path;
  return tensors;
}

/// The shards of a checkpoint in the order of their names; its index, if it has one, must say what they hold.
std::vector<std::vector<std::pair<std::string, StoredTensor>>> read_shards(const fs::path& folder) {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(folder))
    if (entry.path().extension() == ".safetensors") paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  std::vector<std::vector<std::pair<std::string, StoredTensor>>> shards;
  std::map<std::string, std::string> places;
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < paths.size(); ++i) {
    char name[64];
    std::snprintf(name, sizeof(name), "model-%05zu-of-%05zu.safetensors", i + 1, paths.size());
    EXPECT_EQ(paths[i].filename(), paths.size() == 1 ? "model.safetensors" : name);
    shards.push_back(read_shard(paths[i]));
    for (const auto& [tensor, stored] : shards.back()) {
      places[tensor] = paths[i].filename();
      total += stored.bytes.size();
    }
  }
  const fs::path index = folder / "model.safetensors.index.json";
  EXPECT_EQ(fs::exists(index), paths.size() > 1);
  if (paths.size() > 1) {
    const json document = json::parse(read_bytes(index));
    EXPECT_EQ(document, json({{"metadata", {{"total_size", total}}}, {"weight_map", places}}));
  }
  return shards;
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& [name, bytes] : tree(folder))
    if (!name.ends_with(".safetensors") && name != "model.safetensors.index.json") names.push_back(name);
  return names;
}

/// What a tensor is called in the module; empty when it is not part of it.
std::string renamed(const std::string& name, const std::string& module) {
  const std::string prefix = "model." + module + ".";
  if (name.starts_with(prefix)) return (module == "visual" ? "" : "model.") + name.substr(prefix.size());
  return module == "language_model" && name == "lm_head.weight" ? name : "";
}

class Extract : public CommandLineTest {
 protected:
  /// In shards.
  static SynthOptions tiny() {
    SynthOptions options = CommandLineTest::tiny();
    options.max_shard_bytes = 500'000;
    return options;
  }

  std::vector<std::string> command(const std::string& module, std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(),
                     {Q3VL_EXPORT_BINARY, "extract", checkpoint_.string(), "-o", out_.string(), "--module", module});
    return arguments;
  }

  CommandResult run(const std::string& module, std::vector<std::string> arguments = {}) const {
    return run_command(command(module, std::move(arguments)));
  }

  /// The output has the module's tensors, shard by shard and in the source's order, and no other.
  void expect_tensors_of(const std::string& module) const {
    std::vector<std::vector<std::pair<std::string, StoredTensor>>> expected;
    for (const auto& shard : read_shards(checkpoint_)) {
      expected.emplace_back();
      for (const auto& [name, stored] : shard)
        if (const std::string target = renamed(name, module); !target.empty())
          expected.back().emplace_back(target, stored);
      if (expected.back().empty()) expected.pop_back();
    }
    const auto found = read_shards(out_);
    ASSERT_EQ(found.size(), expected.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
      ASSERT_EQ(found[i].size(), expected[i].size()) << i;
      for (std::size_t t = 0; t < found[i].size(); ++t) {
        EXPECT_EQ(found[i][t].first, expected[i][t].first);
        EXPECT_TRUE(found[i][t].second == expected[i][t].second) << found[i][t].first;
      }
    }
  }

  void expect_both_modules(const SynthOptions& options) {
    make(options);
    const auto before = tree(checkpoint_);
    for (const char* module : {"language_model", "visual"}) {
      SCOPED_TRACE(module);
      const CommandResult result = run(module, {"-q"});
      ASSERT_EQ(result.exit_code, 0) << result.err;
      EXPECT_EQ(result.out + result.err, "");
      expect_tensors_of(module);
      fs::remove_all(out_);
    }
    EXPECT_EQ(tree(checkpoint_), before) << "the checkpoint was changed";
    EXPECT_FALSE(fs::exists(out_.string() + ".partial"));
  }

  void expect_refusal(int code, const std::string& message, const std::string& module = "language_model",
                      std::vector<std::string> arguments = {}) const {
    arguments.emplace_back("-q");
    expect_refused(command(module, std::move(arguments)), code, message);
  }
};

std::function<void(std::vector<SynthTensor>&)> without(const std::string& name) {
  return [=](std::vector<SynthTensor>& tensors) {
    ASSERT_EQ(std::erase_if(tensors, [&](const SynthTensor& t) { return t.name == name; }), 1U);
  };
}

std::function<void(std::vector<SynthTensor>&)> with_head(const std::string& stream) {
  return [=](std::vector<SynthTensor>& tensors) {
    const auto table = std::find_if(tensors.begin(), tensors.end(),
                                    [](const auto& t) { return t.name == "model.language_model.embed_tokens.weight"; });
    ASSERT_NE(table, tensors.end());
    SynthTensor head = *table;
    head.name = "lm_head.weight";
    if (!stream.empty()) head.stream = stream;
    tensors.push_back(head);
  };
}

TEST_F(Extract, TensorsOfATiedModelInShards) {
  const SynthOptions options = tiny();
  ASSERT_TRUE(options.model.text.tie_word_embeddings);
  expect_both_modules(options);
  EXPECT_GT(read_shards(checkpoint_).size(), 4U);
}

TEST_F(Extract, TensorsOfAnUntiedModel) {
  SynthOptions options = tiny();
  options.model.text.tie_word_embeddings = false;
  expect_both_modules(options);
}

TEST_F(Extract, TensorsOfASingleFile) {
  SynthOptions options = tiny();
  options.max_shard_bytes = 1U << 30;
  expect_both_modules(options);
  EXPECT_TRUE(fs::exists(checkpoint_ / "model.safetensors"));
}

TEST_F(Extract, TensorsOfMixedTypes) {
  SynthOptions options = tiny();
  options.edit_tensors = [](std::vector<SynthTensor>& tensors) {
    for (std::size_t i = 0; i < tensors.size(); ++i)
      tensors[i].type = i % 3 == 0 ? DataType::float32 : i % 3 == 1 ? DataType::float16 : DataType::bfloat16;
  };
  expect_both_modules(options);
}

/// Larger than the block that is copied at once, and no multiple of it.
TEST_F(Extract, ATensorOfSeveralBlocks) {
  SynthOptions options = tiny();
  options.model.text.vocab_size = 70'001;  // 17.9 MB
  expect_both_modules(options);
}

TEST_F(Extract, AStoredHeadOfATiedModelIsKept) {
  SynthOptions options = tiny();
  options.edit_tensors = with_head("");
  expect_both_modules(options);
  ASSERT_EQ(run("language_model").exit_code, 0);
  bool found = false;
  for (const auto& shard : read_shards(out_))
    for (const auto& [name, stored] : shard) found = found || name == "lm_head.weight";
  EXPECT_TRUE(found);
}

TEST_F(Extract, ConfigOfTheLanguageModelInBothDialects) {
  const json common = {{"architectures", {"Qwen3ForCausalLM"}},
                       {"attention_bias", false},
                       {"attention_dropout", 0.0},
                       {"bos_token_id", 2000},
                       {"dtype", "bfloat16"},
                       {"eos_token_id", 2002},
                       {"head_dim", 32},
                       {"hidden_act", "silu"},
                       {"hidden_size", 128},
                       {"initializer_range", 0.02},
                       {"intermediate_size", 256},
                       {"max_position_embeddings", 4096},
                       {"max_window_layers", 4},
                       {"model_type", "qwen3"},
                       {"num_attention_heads", 4},
                       {"num_hidden_layers", 4},
                       {"num_key_value_heads", 2},
                       {"rms_norm_eps", 1e-6},
                       {"sliding_window", nullptr},
                       {"tie_word_embeddings", true},
                       {"use_cache", true},
                       {"use_sliding_window", false},
                       {"vocab_size", 2048}};
  make(tiny());
  ASSERT_EQ(run("language_model", {"-q"}).exit_code, 0);
  json older = common;
  older.update({{"rope_scaling", nullptr}, {"rope_theta", 5e6}, {"transformers_version", "4.57.0.dev0"}});
  EXPECT_EQ(json::parse(read_bytes(out_ / "config.json")), older);

  fs::remove_all(checkpoint_);
  fs::remove_all(out_);
  SynthOptions options = tiny();
  options.rope_dialect = RopeDialect::rope_parameters;
  make(options);
  ASSERT_EQ(run("language_model", {"-q"}).exit_code, 0);
  json newer = common;
  newer.update(
      {{"rope_parameters", {{"rope_theta", 5e6}, {"rope_type", "default"}}}, {"transformers_version", "5.12.1"}});
  EXPECT_EQ(json::parse(read_bytes(out_ / "config.json")), newer);
}

TEST_F(Extract, OddSpellingsOfTheConfigAreKeptOrMoved) {
  SynthOptions options = tiny();
  options.rope_dialect = RopeDialect::rope_parameters;
  make(options);
  edit_json("config.json", [](json& config) {
    json& text = config["text_config"];
    text["rope_theta"] = text["rope_parameters"]["rope_theta"];
    text["rope_parameters"].erase("rope_theta");
    text.erase("dtype");
    text.erase("use_cache");
    config["torch_dtype"] = "bfloat16";
    text["pad_token_id"] = nullptr;
    text["eos_token_id"] = {2002, 2000};
    config.erase("transformers_version");
  });
  ASSERT_EQ(run("language_model", {"-q"}).exit_code, 0);
  const json config = json::parse(read_bytes(out_ / "config.json"));
  EXPECT_EQ(config["rope_parameters"], json({{"rope_theta", 5e6}, {"rope_type", "default"}}));
  EXPECT_EQ(config["torch_dtype"], "bfloat16");
  EXPECT_EQ(config["eos_token_id"], json::array({2002, 2000}));
  EXPECT_TRUE(config.contains("pad_token_id") && config["pad_token_id"].is_null());
  for (const char* key : {"rope_theta", "rope_scaling", "dtype", "use_cache", "transformers_version"})
    EXPECT_FALSE(config.contains(key)) << key;
}

TEST_F(Extract, ConfigOfTheVisualTower) {
  make(tiny());
  edit_json("config.json", [](json& config) { config["dtype"] = "bfloat16"; });
  ASSERT_EQ(run("visual", {"-q"}).exit_code, 0);
  json expected = json::parse(read_bytes(checkpoint_ / "config.json"))["vision_config"];
  EXPECT_EQ(expected["model_type"], "qwen3_vl");
  expected.update(
      {{"architectures", {"Qwen3VLVisionModel"}}, {"dtype", "bfloat16"}, {"transformers_version", "4.57.0.dev0"}});
  EXPECT_EQ(json::parse(read_bytes(out_ / "config.json")), expected);
}

TEST_F(Extract, SmallFilesGoAlongAsTheyAre) {
  make(tiny());
  const std::map<std::string, std::vector<std::string>> expected = {
      {"language_model",
       {"chat_template.json", "config.json", "generation_config.json", "manifest.json", "tokenizer.json",
        "tokenizer_config.json"}},
      {"visual", {"config.json", "manifest.json", "preprocessor_config.json", "video_preprocessor_config.json"}}};
  for (const auto& [module, names] : expected) {
    const CommandResult result = run(module);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(names_in(out_), names);
    json listed = json::object();
    for (const auto& [name, bytes] : tree(out_)) {
      EXPECT_NE(result.err.find(name + " "), std::string::npos) << name << " is not in the table";
      if (name != "manifest.json") listed[name] = {{"bytes", bytes.size()}, {"sha256", sha256sum(out_ / name)}};
    }
    for (const std::string& name : names)
      if (name != "config.json" && name != "manifest.json") {
        EXPECT_EQ(read_bytes(out_ / name), read_bytes(checkpoint_ / name)) << name;
      }
    const json manifest = json::parse(read_bytes(out_ / "manifest.json"));
    EXPECT_EQ(manifest["module"], module);
    EXPECT_EQ(manifest["files"], listed);
    EXPECT_TRUE(manifest["versions"].contains("qwen3vl-export"));
    EXPECT_NE(result.err.find("peak memory"), std::string::npos);
    fs::remove_all(out_);
  }
}

TEST_F(Extract, AnExportOfTheLanguageModelIsTheTextPackageOfTheWhole) {
  SynthOptions options = tiny();
  for (const bool tied : {true, false}) {
    options.model.text.tie_word_embeddings = tied;
    make(options);
    const auto exported = [&](const fs::path& checkpoint, const std::string& name) {
      const CommandResult result = run_command(
          {Q3VL_EXPORT_BINARY, checkpoint.string(), "-o", (folder_ / name).string(), "--components", "text", "-q"});
      EXPECT_EQ(result.exit_code, 0) << result.err;
      return tree(folder_ / name);
    };
    const auto whole = exported(checkpoint_, "whole");
    ASSERT_EQ(run("language_model", {"-q"}).exit_code, 0);
    const auto extracted = exported(out_, "extracted");
    EXPECT_EQ(extracted.at("model.onnx.data"), whole.at("model.onnx.data"));
    EXPECT_EQ(extracted.at("genai_config.json"), whole.at("genai_config.json"));
    ASSERT_EQ(extracted.size(), whole.size());
    for (const auto& folder : {checkpoint_, out_, folder_ / "whole", folder_ / "extracted"}) fs::remove_all(folder);
  }
}

TEST_F(Extract, TheOtherCommandsTakeWhatItWrote) {
  make(tiny());
  ASSERT_EQ(run("language_model", {"-q"}).exit_code, 0);
  const CommandResult inspected = run_command({Q3VL_EXPORT_BINARY, "inspect", out_.string()});
  EXPECT_EQ(inspected.exit_code, 0) << inspected.out;
  EXPECT_TRUE(inspected.out.starts_with("checkpoint: ")) << inspected.out;
  const std::string package = (folder_ / "package").string();
  ASSERT_EQ(run_command({Q3VL_EXPORT_BINARY, out_.string(), "-o", package, "-q"}).exit_code, 0);
  const CommandResult verified = run_command(
      {Q3VL_EXPORT_BINARY, "verify", package, "--checkpoint", out_.string(), "-q", "--checks", "graph,weights"});
  EXPECT_EQ(verified.exit_code, 0) << verified.out;
}

TEST_F(Extract, TheVisualTowerAloneIsNotExported) {
  make(tiny());
  ASSERT_EQ(run("visual", {"-q"}).exit_code, 0);
  const CommandResult result = run_command({Q3VL_EXPORT_BINARY, out_.string(), "-o", (folder_ / "package").string()});
  EXPECT_EQ(result.exit_code, 4);
  EXPECT_EQ(result.err, "qwen3vl-export: " + (out_ / "config.json").string() +
                            ": architectures is [\"Qwen3VLVisionModel\"], the visual tower alone; export the "
                            "checkpoint that it was taken from\n");
}

TEST_F(Extract, APlainLanguageModelHasNothingToTakeOut) {
  make(tiny());
  ASSERT_EQ(run("language_model", {"-q"}).exit_code, 0);
  fs::rename(out_, folder_ / "plain");
  checkpoint_ = folder_ / "plain";
  expect_refusal(2, c() + ": is a plain language model already; there is nothing to take it out of");
  expect_refusal(2, c() + ": is a plain language model, which has no visual tower", "visual");
}

constexpr const char* kGate = "model.language_model.layers.1.mlp.gate_proj.weight";

TEST_F(Extract, AMissingTensorMattersInItsModuleAlone) {
  SynthOptions options = tiny();
  options.edit_tensors = without(kGate);
  make(options);
  expect_refusal(3, c() + ": tensors do not fit config.json: \"" + kGate +
                        "\" [256, 128] is missing; the checkpoint is incomplete or belongs to another config.json");
  EXPECT_EQ(run("visual", {"-q"}).exit_code, 0);
  expect_tensors_of("visual");
}

TEST_F(Extract, AWrongShapeOfTheVisualTower) {
  SynthOptions options = tiny();
  options.edit_tensors = [](auto& tensors) {
    for (SynthTensor& tensor : tensors)
      if (tensor.name == "model.visual.pos_embed.weight") tensor.shape[0] += 1;
  };
  make(options);
  expect_refusal(
      3,
      c() +
          ": tensors do not fit config.json: \"model.visual.pos_embed.weight\" has shape [257, 64], expected "
          "[256, 64] from config.json; the checkpoint is incomplete or belongs to another config.json",
      "visual");
}

TEST_F(Extract, AnUnusedTensorIsRefusedOrLeftOut) {
  SynthOptions options = tiny();
  options.edit_tensors = [](auto& tensors) {
    SynthTensor extra = tensors.front();
    extra.name = "model.language_model.extra.weight";
    extra.shape = {2, 3};
    tensors.push_back(extra);
  };
  make(options);
  expect_refusal(3, c() +
                        ": 1 tensors are not part of the model that config.json describes: "
                        "\"model.language_model.extra.weight\" [2, 3]; leave them out with --allow-unused if that is "
                        "right");
  ASSERT_EQ(run("language_model", {"--allow-unused", "-q"}).exit_code, 0);
  for (const auto& shard : read_shards(out_))
    for (const auto& [name, stored] : shard) EXPECT_NE(name, "model.extra.weight");
}

TEST_F(Extract, AHeadThatContradictsTheConfig) {
  SynthOptions options = tiny();
  options.edit_tensors = with_head("another");
  make(options);
  expect_refusal(3, c() +
                        ": config.json ties lm_head to the embedding (tie_word_embeddings), but the stored "
                        "\"lm_head.weight\" differs from \"model.language_model.embed_tokens.weight\"");
}

TEST_F(Extract, BadConfigsAndMissingFiles) {
  expect_refusal(3, c("config.json") + ": cannot open: No such file or directory");
  make(tiny());
  edit_json("config.json", [](json& config) { config["model_type"] = "phi4mm"; });
  expect_refusal(4, c("config.json") +
                        ": model_type is \"phi4mm\"; this program exports dense Qwen3-VL models (model_type "
                        "\"qwen3_vl\") and dense Qwen3 language models (\"qwen3\")");
}

TEST_F(Extract, UsageErrors) {
  make(tiny());
  expect_refusal(2, "--module is \"audio\", expected language_model or visual", "audio");
  const CommandResult bare = run_command({Q3VL_EXPORT_BINARY, "extract", c(), "-o", out_.string()});
  EXPECT_EQ(bare.exit_code, 2);
  EXPECT_EQ(bare.err, "qwen3vl-export: --module is required; see qwen3vl-export extract --help\n");
  const CommandResult help = run_command({Q3VL_EXPORT_BINARY, "extract", "--help"});
  EXPECT_EQ(help.exit_code, 0);
  for (const char* word : {"CHECKPOINT", "--output", "--module", "language_model", "visual", "--force",
                           "--allow-unused", "--verbose", "--quiet"})
    EXPECT_NE(help.out.find(word), std::string::npos) << word;
  EXPECT_NE(run_command({Q3VL_EXPORT_BINARY, "--help"}).out.find("qwen3vl-export extract"), std::string::npos);
}

TEST_F(Extract, ForceReplacesOnlyWhatThisProgramWrote) {
  make(tiny());
  fs::create_directories(out_);
  write_bytes(out_ / "manifest.json", R"({"format": 1, "versions": {"something-else": "1"}})");
  expect_refusal(5, out_.string() +
                        ": the output folder is not empty; choose another one, or replace the checkpoint in it with "
                        "--force");
  expect_refusal(
      5,
      out_.string() +
          ": --force replaces what this program wrote, but the folder has no manifest.json of it; empty it by "
          "hand if that is meant",
      "language_model", {"--force"});
  fs::remove_all(out_);
  ASSERT_EQ(run("visual", {"-q"}).exit_code, 0);
  const auto old = tree(out_);
  expect_refusal(2, "--module is \"audio\", expected language_model or visual", "audio", {"--force"});
  EXPECT_EQ(tree(out_), old);
  ASSERT_EQ(run("language_model", {"--force", "-q"}).exit_code, 0);
  expect_tensors_of("language_model");
  EXPECT_FALSE(fs::exists(out_ / "preprocessor_config.json"));
  EXPECT_FALSE(fs::exists(out_.string() + ".partial"));
}

TEST_F(Extract, OutputAndCheckpointMustNotContainEachOther) {
  make(tiny());
  for (const fs::path& output : {checkpoint_ / "out", checkpoint_, folder_}) {
    out_ = output;
    expect_refusal(5, out_.string() + ": the output folder and the checkpoint " + c() + " must not contain each other",
                   "visual", {"--force"});
  }
}

/// Found when the folders exist already.
TEST_F(Extract, AfterAFailureNothingIsLeft) {
  make(tiny());
  out_ = folder_ / "x" / "y" / "out";
  const CommandResult result =
      run_command({"/bin/sh", "-c", R"(ulimit -f 100; exec "$0" extract "$1" -o "$2" --module visual -q)",
                   Q3VL_EXPORT_BINARY, c(), out_.string()});
  EXPECT_EQ(result.exit_code, 5);
  EXPECT_TRUE(result.err.find("but the limit on the size of a file is ") != std::string::npos) << result.err;
  EXPECT_FALSE(fs::exists(folder_ / "x"));
}

TEST_F(Extract, ASmallFileThatIsNone) {
  make(tiny());
  fs::create_directory(checkpoint_ / "merges.txt");
  expect_refusal(3, c("merges.txt") + ": is a folder, expected a file");
}

TEST_F(Extract, InterruptedItLeavesNothing) {
  SynthOptions options = tiny();
  options.model.text.vocab_size = 1'000'000;
  options.sparse = true;
  make(options);
  const std::vector<std::string> command = {Q3VL_EXPORT_BINARY, "extract",        c(), "-o", out_.string(),
                                            "--module",         "language_model", "-q"};
  const auto start = std::chrono::steady_clock::now();
  ASSERT_EQ(run_command(command).exit_code, 0);
  const std::chrono::duration<double, std::milli> whole = std::chrono::steady_clock::now() - start;
  fs::remove_all(out_);

  int interrupted = 0;
  for (double share = 0.7; share > 0.05 && interrupted == 0; share -= 0.1) {
    const CommandResult result =
        run_command(command, std::chrono::milliseconds(static_cast<std::int64_t>(whole.count() * share)));
    if (result.exit_code == 0) {  // done before the signal came
      fs::remove_all(out_);
      continue;
    }
    EXPECT_FALSE(fs::exists(out_));
    EXPECT_FALSE(fs::exists(out_.string() + ".partial"));
    if (result.exit_code != 130) continue;  // the signal came before the program could take it
    EXPECT_EQ(result.err, "qwen3vl-export: interrupted; nothing was left behind\n");
    ++interrupted;
  }
  EXPECT_GE(interrupted, 1) << "no run was caught while it worked";
}

}  // namespace
}  // namespace q3vl::extract_test
