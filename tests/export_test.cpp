// The exporter as its users meet it: the command line, its files, its refusals word for word, and what stays behind.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "support/command_line_test.h"

namespace q3vl::export_test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;

class Export : public CommandLineTest {
 protected:
  CommandResult run(std::vector<std::string> arguments = {}) const {
    return run_command(command(std::move(arguments)));
  }

  void expect_refusal(int code, const std::string& message, std::vector<std::string> arguments = {}) const {
    arguments.emplace_back("-q");
    expect_refused(command(std::move(arguments)), code, message);
  }

 private:
  std::vector<std::string> command(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(),
                     {Q3VL_EXPORT_BINARY, checkpoint_.string(), "-o", out_.string(), "--layout", "genai"});
    return arguments;
  }
};

/// What `run` would refuse is refused before anything is written.
TEST_F(Export, APackageThatNobodyCouldAskIsRefused) {
  make(tiny());
  const std::string path = c("chat_template.jinja");
  const std::string given = "; it was given a conversation with a text";
  for (const auto& [text, message] : std::vector<std::pair<std::string, std::string>>{
           {"{% if x", "the chat template cannot be read: Expected closing block tag at row 1, column 8"},
           {"{{ 1 // 0 }}",
            "the chat template cannot be rendered: it divides a whole number by zero, or the least one by -1" + given},
           {"{{ range(100000000) }}",
            "the chat template cannot be rendered: it takes more than 64 MB of memory" + given},
           {"{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
            "the chat template cannot be rendered: it is nested too deeply, for more than 32 MB of stack; a macro may "
            "call itself, or a list hold itself" +
                given},
           {"\xff", "the chat template is not UTF-8: byte 0 is 0xff; save it as UTF-8"},
           {std::string(70'000, 'x'), "the chat template has 70000 bytes, expected 65536 at most"},
           {"{{ messages[0].content }}",
            "for a conversation with one picture the chat template writes <|vision_start|><|image_pad|><|vision_end|> "
            "0 "
            "times, expected 1; clients put each picture in the place of one"}}) {
    write_bytes(path, text);
    expect_refusal(3, path + ": " + message);
  }
  EXPECT_EQ(run({"-q", "--components", "text"}).exit_code, 0) << "texts are all that it is asked";
  fs::remove(path);
  fs::remove(checkpoint_ / "chat_template.json");
  edit_json("tokenizer_config.json", [](json& settings) { settings["chat_template"] = 1; });
  fs::remove_all(out_);
  expect_refusal(3, c("tokenizer_config.json") + ": chat_template is 1, expected a string");
  edit_json("tokenizer_config.json", [](json& settings) { settings["chat_template"] = nullptr; });
  expect_refusal(3,
                 path +
                     ": is missing; so are chat_template.json and the key chat_template of tokenizer_config.json; no "
                     "client could put a question to the model");
}

TEST_F(Export, ATemplateThatRefusesWhatFewUseIsAWarning) {
  make(tiny());
  const std::string sound = json::parse(read_bytes(checkpoint_ / "chat_template.json")).at("chat_template");
  write_bytes(c("chat_template.jinja"), "{% if tools %}{{ raise_exception('no tools here') }}{% endif %}" + sound);
  const CommandResult result = run();
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.err.find("warning: " + c("chat_template.jinja") +
                            ": the chat template cannot be rendered: no tools here at row 1, column 33; it was given a "
                            "conversation with tools\n"),
            std::string::npos)
      << result.err;
}

TEST_F(Export, ATokenizerThatNobodyCouldReadIsRefused) {
  make(tiny());
  const auto split_by = [&](const char* expression) {
    edit_json("tokenizer.json", [&](json& document) {
      document["pre_tokenizer"] = {
          {"type", "Sequence"},
          {"pretokenizers",
           {{{"type", "Split"}, {"pattern", {{"Regex", expression}}}, {"behavior", "Isolated"}, {"invert", false}},
            {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}};
    });
  };
  split_by("(a");
  expect_refusal(3, c("tokenizer.json") +
                        ": pre_tokenizer.pretokenizers[0].pattern.Regex is no regular expression: "
                        "U_REGEX_MISMATCHED_PAREN at its character 2");
  split_by("\\w+");
  const CommandResult result = run();
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.err.find("warning: " + c("tokenizer.json") +
                            ": pre_tokenizer.pretokenizers[0].pattern.Regex uses \"\\\\w\", which ICU may read "
                            "differently than the tokenizers of Hugging Face do; qwen3vl-export run will refuse the "
                            "package, its clients may not\n"),
            std::string::npos)
      << result.err;
}

constexpr const char* kGate = "model.language_model.layers.1.mlp.gate_proj.weight";

TEST_F(Export, WritesThePackageAndTellsAboutIt) {
  make(tiny());
  const auto before = tree(checkpoint_);
  const CommandResult result = run();
  ASSERT_EQ(result.exit_code, 0) << result.err;
  for (const char* file : {"vision.onnx", "vision.onnx.data", "embedding.onnx", "embedding.onnx.data", "model.onnx",
                           "model.onnx.data", "genai_config.json", "vision_processor.json", "manifest.json",
                           "tokenizer.json", "tokenizer_config.json", "chat_template.json", "generation_config.json",
                           "config.json", "preprocessor_config.json", "video_preprocessor_config.json"}) {
    EXPECT_TRUE(fs::is_regular_file(out_ / file)) << file;
    EXPECT_NE(result.err.find(std::string(file) + " "), std::string::npos) << file << " is not in the table";
  }
  EXPECT_NE(result.err.find("peak memory"), std::string::npos);
  EXPECT_EQ(result.out, "") << "nothing was asked for there";
  EXPECT_NE(result.err.find("max_length is 4096 tokens of the model's 4096"), std::string::npos) << result.err;
  EXPECT_NE(
      result.err.find("larger pictures are scaled down to 1003520 pixels; the checkpoint's own limit is 16777216"),
      std::string::npos)
      << result.err;
  for (const auto& [name, bytes] : before)
    if (!name.ends_with(".safetensors") && name != "model.safetensors.index.json") {
      EXPECT_EQ(read_bytes(out_ / name), bytes) << name;
    }
  EXPECT_EQ(tree(checkpoint_), before) << "the checkpoint was changed";
  EXPECT_FALSE(fs::exists(out_.string() + ".partial"));
}

TEST_F(Export, QuietIsQuiet) {
  make(tiny());
  const CommandResult result = run({"-q"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_EQ(result.out + result.err, "");
}

TEST_F(Export, ConfigFollowsTheModel) {
  make(tiny());
  ASSERT_EQ(run({"--max-length", "77", "--max-pixels", "90000"}).exit_code, 0);
  const json config = json::parse(read_bytes(checkpoint_ / "config.json"));
  const json genai = json::parse(read_bytes(out_ / "genai_config.json"));
  const json& decoder = genai["model"]["decoder"];
  const std::int64_t hidden = config["text_config"]["hidden_size"];
  EXPECT_EQ(genai["model"]["type"], "qwen3_vl");
  EXPECT_EQ(decoder["hidden_size"],
            hidden * (1 + static_cast<std::int64_t>(config["vision_config"]["deepstack_visual_indexes"].size())));
  EXPECT_EQ(decoder["head_size"], config["text_config"]["head_dim"]);
  EXPECT_EQ(decoder["num_key_value_heads"], config["text_config"]["num_key_value_heads"]);
  EXPECT_EQ(decoder["num_hidden_layers"], config["text_config"]["num_hidden_layers"]);
  EXPECT_EQ(genai["model"]["image_token_id"], config["image_token_id"]);
  EXPECT_EQ(genai["model"]["context_length"], config["text_config"]["max_position_embeddings"]);
  EXPECT_EQ(genai["search"]["max_length"], 77);
  EXPECT_TRUE(genai["search"]["temperature"].is_number_float());
  EXPECT_TRUE(genai["search"]["repetition_penalty"].is_number_float());
  const json transforms = json::parse(read_bytes(out_ / "vision_processor.json"))["processor"]["transforms"];
  EXPECT_EQ(transforms[2]["operation"]["attrs"]["max_pixels"], 90000);
  EXPECT_TRUE(transforms[4]["operation"]["attrs"]["mean"][0].is_number_float());
}

TEST_F(Export, BothConfigDialectsGiveTheSameGraphs) {
  make(tiny());
  ASSERT_EQ(run().exit_code, 0);
  const auto first = tree(out_);
  fs::remove_all(checkpoint_);
  SynthOptions newer = tiny();
  newer.rope_dialect = RopeDialect::rope_parameters;
  newer.image_settings = ImageSettings::processor_config;
  make(newer);
  fs::remove_all(out_);
  ASSERT_EQ(run().exit_code, 0);
  for (const char* file : {"vision.onnx", "vision.onnx.data", "embedding.onnx", "model.onnx", "model.onnx.data",
                           "genai_config.json", "vision_processor.json"})
    EXPECT_EQ(read_bytes(out_ / file), first.at(file)) << file;
}

TEST_F(Export, BytesDoNotDependOnThreads) {
  make(tiny());
  ASSERT_EQ(run({"--threads", "1"}).exit_code, 0);
  const auto one = tree(out_);
  fs::remove_all(out_);
  ASSERT_EQ(run({"--threads", "7"}).exit_code, 0);
  EXPECT_EQ(tree(out_), one);
}

/// The peak memory, in KiB, of the largest process that this one has started so far.
long largest_export_kib() {
  rusage usage{};
  EXPECT_EQ(::getrusage(RUSAGE_CHILDREN, &usage), 0);
  return usage.ru_maxrss;
}

TEST_F(Export, HoldsNoTensorWhole) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizer's own memory hides the program's";
#endif
  SynthOptions wide = tiny();
  wide.sparse = true;
  wide.model.text.vocab_size = 4'000'000;
  make(wide);
  ASSERT_GT(fs::file_size(checkpoint_ / "model.safetensors"), 500'000'000) << "nearly all of it is one tensor";
  ASSERT_EQ(run({"--embedding", "int4", "-q"}).exit_code, 0);
  EXPECT_LT(largest_export_kib(), 300'000);
}

TEST_F(Export, MemoryHardlyGrowsWithTensorsAndShards) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizer's own memory hides the program's";
#endif
  SynthOptions many = tiny();
  many.sparse = true;
  many.model.text.num_hidden_layers = 1000;
  many.max_shard_bytes = 300'000;
  const SynthReport made = write_synthetic_checkpoint(many, checkpoint_);
  ASSERT_GT(made.tensors, 11'000U);
  ASSERT_GT(made.shards, 500U);
  ASSERT_EQ(run({"-q"}).exit_code, 0);
  EXPECT_LT(largest_export_kib(), 300'000);
}

/// How much is too little depends on the libraries, so the least is looked for, with which the program starts. From
/// there on it ends whatever there is, and says what it lacks.
TEST_F(Export, TooLittleMemoryIsASentence) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizer needs more address space than there would be";
#endif
  make(tiny());
  fs::create_directory(folder_ / "data");
  write_bytes(folder_ / "data/text.json", R"({"input_ids": [5, 9, 900, 17, 33]})");
  const auto within = [](int kib, const std::string& arguments) {
    return run_command(
        {"/bin/sh", "-c", fmt::format("ulimit -v {} && exec {} {}", kib, Q3VL_EXPORT_BINARY, arguments)});
  };
  int least = 20'000;
  while (within(least, "--version").exit_code != 0) {
    least += 2'000;
    ASSERT_LT(least, 1'000'000) << "the program does not start";
  }
  const std::string write = fmt::format("{} -q --force -o {}", checkpoint_.string(), out_.string());
  const std::string calibrate =
      fmt::format("{} --threads 4 --recipe int4-gptq --calibrate {}", write, (folder_ / "data").string());
  for (const std::string& arguments : {write, calibrate}) {
    int refused = 0;
    for (const int more : {0, 100'000, 400'000, 700'000}) {
      const CommandResult result = within(least + more, arguments);
      if (result.exit_code == 0) continue;
      ++refused;
      EXPECT_EQ(result.exit_code, 1) << more << result.err;
      EXPECT_EQ(std::ranges::count(result.err, '\n'), 1) << more << result.err;
      EXPECT_THAT(result.err, testing::AnyOf(HasSubstr("memory"), HasSubstr("ulimit -v"))) << more;
    }
    EXPECT_GT(refused, 0) << "nothing was too little for " << arguments;
  }
}

TEST_F(Export, TextAloneIsALoadablePackage) {
  make(tiny());
  ASSERT_EQ(run({"--components", "text"}).exit_code, 0);
  const json genai = json::parse(read_bytes(out_ / "genai_config.json"));
  EXPECT_EQ(genai["model"]["type"], "qwen3");
  EXPECT_EQ(genai["model"]["decoder"]["inputs"]["input_ids"], "input_ids");
  EXPECT_FALSE(genai["model"].contains("vision"));
  EXPECT_FALSE(genai["model"].contains("embedding"));
  EXPECT_FALSE(fs::exists(out_ / "vision.onnx"));
  EXPECT_FALSE(fs::exists(out_ / "preprocessor_config.json"));
}

/// The tensors of the language model alone, under the names of a plain Qwen3 checkpoint.
void keep_language_model(std::vector<SynthTensor>& tensors) {
  const std::string from = "model.language_model.";
  std::erase_if(tensors, [](const SynthTensor& t) { return t.name.starts_with("model.visual."); });
  for (SynthTensor& tensor : tensors)
    if (tensor.name.starts_with(from)) tensor.name = "model." + tensor.name.substr(from.size());
}

TEST_F(Export, APlainLanguageModelGivesTheTextPackage) {
  make(tiny());
  ASSERT_EQ(run({"--components", "text", "-q"}).exit_code, 0);
  const auto expected = tree(out_);
  fs::remove_all(checkpoint_);
  fs::remove_all(out_);
  SynthOptions plain = tiny();
  plain.edit_tensors = keep_language_model;
  make(plain);
  for (const char* file : {"preprocessor_config.json", "video_preprocessor_config.json"})
    fs::remove(checkpoint_ / file);
  edit_json("config.json", [](json& config) {
    json text = config["text_config"];
    text["model_type"] = "qwen3";
    text["architectures"] = json::array({"Qwen3ForCausalLM"});
    text["rope_scaling"] = nullptr;
    config = text;
  });
  const CommandResult result = run();
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.err.find("there is no genai_config.json"), std::string::npos) << result.err;
  EXPECT_EQ(json::parse(read_bytes(out_ / "manifest.json"))["components"], json::array({"text"}));
  EXPECT_EQ(read_bytes(out_ / "model.onnx.data"), expected.at("model.onnx.data"));
  EXPECT_EQ(read_bytes(out_ / "genai_config.json"), expected.at("genai_config.json"));
  for (const auto& [name, bytes] : expected) EXPECT_TRUE(fs::exists(out_ / name)) << name;
  EXPECT_EQ(tree(out_).size(), expected.size());

  fs::remove_all(out_);
  EXPECT_EQ(run({"--components", "text", "-q"}).exit_code, 0);
  fs::remove_all(out_);
  expect_refusal(2, "--components names vision, but " + c() + " is a plain language model, which has text alone",
                 {"--components", "vision"});
  expect_refusal(
      2, "--components names embedding and text, but " + c() + " is a plain language model, which has text alone",
      {"--components", "text,embedding"});
}

TEST_F(Export, OtherPartsSaySoAndWriteNoClientConfig) {
  make(tiny());
  const CommandResult result = run({"--components", "vision,text"});
  ASSERT_EQ(result.exit_code, 0);
  EXPECT_NE(result.err.find("only vision and text is written, so there is no genai_config.json: onnxruntime-genai "
                            "loads all three components, or text alone"),
            std::string::npos)
      << result.err;
  EXPECT_FALSE(fs::exists(out_ / "genai_config.json"));
  EXPECT_FALSE(fs::exists(out_ / "embedding.onnx"));
  EXPECT_TRUE(fs::exists(out_ / "model.onnx"));
}

TEST_F(Export, MissingTensor) {
  SynthOptions options = tiny();
  options.edit_tensors =
      on(kGate, [](auto& tensors, std::size_t i) { tensors.erase(tensors.begin() + static_cast<std::ptrdiff_t>(i)); });
  make(options);
  const TextConfig& text = options.model.text;
  expect_refusal(3, c() + ": tensors do not fit config.json: \"" + kGate + "\" " +
                        to_string(Shape{text.intermediate_size, text.hidden_size}) +
                        " is missing; the checkpoint is incomplete or belongs to another config.json");
}

TEST_F(Export, WrongShape) {
  SynthOptions options = tiny();
  options.edit_tensors = on(kGate, [](auto& tensors, std::size_t i) { tensors[i].shape[0] -= 1; });
  make(options);
  const TextConfig& text = options.model.text;
  expect_refusal(3, c() + ": tensors do not fit config.json: \"" + kGate + "\" has shape " +
                        to_string(Shape{text.intermediate_size - 1, text.hidden_size}) + ", expected " +
                        to_string(Shape{text.intermediate_size, text.hidden_size}) +
                        " from config.json; the checkpoint is incomplete or belongs to another config.json");
}

TEST_F(Export, UnusedTensor) {
  SynthOptions options = tiny();
  options.edit_tensors = [](auto& tensors) {
    SynthTensor extra = tensors.front();
    extra.name = "model.language_model.layers.0.extra.weight";
    extra.shape = {2, 3};
    tensors.push_back(extra);
  };
  make(options);
  expect_refusal(3, c() +
                        ": 1 tensors are not part of the model that config.json describes: "
                        "\"model.language_model.layers.0.extra.weight\" [2, 3]; leave "
                        "them out with --allow-unused if that is right");
  EXPECT_EQ(run({"--allow-unused", "-q"}).exit_code, 0);
}

TEST_F(Export, TruncatedShard) {
  make(tiny());
  fs::path shard;
  for (const auto& entry : fs::directory_iterator(checkpoint_))
    if (entry.path().extension() == ".safetensors") shard = std::max(shard, entry.path());
  const auto size = fs::file_size(shard);
  std::uint64_t header = 0;
  std::ifstream(shard, std::ios::binary).read(reinterpret_cast<char*>(&header), 8);
  fs::resize_file(shard, size - 100);
  expect_refusal(3, shard.string() + ": holds " + std::to_string(size - 100 - 8 - header) +
                        " bytes of tensors, but its header describes " + std::to_string(size - 8 - header) +
                        "; the file was cut short or is still being downloaded");
}

TEST_F(Export, UnknownArchitecture) {
  make(tiny());
  edit_json("config.json", [](json& config) { config["model_type"] = "phi4mm"; });
  expect_refusal(4,
                 c("config.json") +
                     ": model_type is \"phi4mm\"; this program exports dense Qwen3-VL models (model_type \"qwen3_vl\") "
                     "and dense Qwen3 language models (\"qwen3\")");
  edit_json("config.json", [](json& config) { config["model_type"] = "qwen3_vl_moe"; });
  expect_refusal(4, c("config.json") +
                        ": model_type is \"qwen3_vl_moe\", a mixture of experts; this program exports dense Qwen3-VL "
                        "models (model_type \"qwen3_vl\") and dense Qwen3 language models (\"qwen3\")");
}

TEST_F(Export, UnsupportedRopeType) {
  make(tiny());
  edit_json("config.json", [](json& config) { config["text_config"]["rope_scaling"]["rope_type"] = "llama3"; });
  expect_refusal(
      4, c("config.json") +
             ": text_config.rope_scaling.rope_type is \"llama3\"; \"default\", \"linear\" and \"yarn\" are exported");
}

TEST_F(Export, OutputFolderInUse) {
  make(tiny());
  fs::create_directories(out_);
  std::ofstream(out_ / "mine.txt") << "precious";
  expect_refusal(5,
                 out_.string() +
                     ": the output folder is not empty; choose another one, or replace the package in it with --force");
  expect_refusal(
      5,
      out_.string() +
          ": --force replaces what this program wrote, but the folder has no manifest.json of it; empty it by "
          "hand if that is meant",
      {"--force"});
  EXPECT_EQ(read_bytes(out_ / "mine.txt"), "precious");
}

TEST_F(Export, ForceReplacesAPackage) {
  make(tiny());
  ASSERT_EQ(run({"--recipe", "fp32"}).exit_code, 0);
  ASSERT_EQ(run({"--force"}).exit_code, 0);
  EXPECT_EQ(json::parse(read_bytes(out_ / "manifest.json"))["recipe_name"], "int4");
  EXPECT_FALSE(fs::exists(out_.string() + ".partial"));
}

TEST_F(Export, ForceRemovesNothingThatIsNotListed) {
  make(tiny());
  ASSERT_EQ(run_command({Q3VL_EXPORT_BINARY, checkpoint_, "-o", out_, "-q"}).exit_code, 0);
  const std::string refusal = out_.string() +
                              ": --force replaces what this program wrote, but the folder also has {}; "
                              "move that away, or choose another folder";
  const auto expect_kept = [&](const std::string& names) {
    expect_refusal(5, fmt::format(fmt::runtime(refusal), names), {"--force"});
  };
  write_bytes(out_ / "thesis.docx", "three years of work");
  fs::create_directories(out_ / "photos" / "2019");
  write_bytes(out_ / "photos" / "2019" / "wedding.jpg", "the only copy");
  expect_kept(R"("photos/", "thesis.docx")");
  fs::remove(out_ / "thesis.docx");
  fs::remove_all(out_ / "photos");

  write_bytes(out_ / "onnx" / "notes.txt", "in a folder of the package");
  expect_kept(R"("onnx/notes.txt")");
  fs::remove(out_ / "onnx" / "notes.txt");

  fs::create_directory(out_ / "empty");
  expect_kept(R"("empty/")");
  fs::remove(out_ / "empty");

  const fs::path elsewhere = folder_ / "elsewhere";
  fs::create_directory(elsewhere);
  write_bytes(elsewhere / "embedding.onnx", "behind a link");
  fs::rename(out_ / "onnx", folder_ / "onnx");
  fs::create_directory_symlink(elsewhere, out_ / "onnx");
  expect_kept(R"("onnx")");
  fs::remove(out_ / "onnx");
  fs::rename(folder_ / "onnx", out_ / "onnx");

  for (int i = 0; i < 7; ++i) write_bytes(out_ / fmt::format("draft {}", i), "");
  expect_kept(R"("draft 0", "draft 1", "draft 2", "draft 3", "draft 4" and 2 more)");
  for (int i = 0; i < 7; ++i) fs::remove(out_ / fmt::format("draft {}", i));

  // Without a file that the manifest lists the folder is still nothing but this program's.
  fs::remove(out_ / "genai_config.json");
  EXPECT_EQ(run({"--force"}).exit_code, 0);
}

TEST_F(Export, AFailedForceKeepsTheOldPackage) {
  make(tiny());
  ASSERT_EQ(run().exit_code, 0);
  const auto old = tree(out_);
  fs::remove(checkpoint_ / "tokenizer.json");
  EXPECT_EQ(run({"--force", "-q"}).exit_code, 3);
  EXPECT_EQ(tree(out_), old);
}

TEST_F(Export, OutputAndCheckpointMustNotContainEachOther) {
  make(tiny());
  for (const fs::path& output : {checkpoint_ / "out", checkpoint_, folder_, checkpoint_ / "." / ".." / "checkpoint"}) {
    out_ = output;
    expect_refusal(5, out_.string() + ": the output folder and the checkpoint " + c() + " must not contain each other",
                   {"--force"});
  }
}

TEST_F(Export, MakesParentsAndRemovesThemAfterAFailure) {
  make(tiny());
  out_ = folder_ / "a" / "b" / "out";
  ASSERT_EQ(run({"-q"}).exit_code, 0);
  EXPECT_TRUE(fs::exists(out_ / "model.onnx"));
  SynthOptions broken = tiny();
  fs::remove_all(checkpoint_);
  broken.type = DataType::float32;
  make(broken);
  out_ = folder_ / "x" / "y" / "out";
  // Found while the weights are written, when the folders exist already.
  for (const auto& entry : fs::directory_iterator(checkpoint_))
    if (entry.path().extension() == ".safetensors") {
      std::fstream file(entry.path(), std::ios::binary | std::ios::in | std::ios::out);
      const std::uint32_t nan = 0x7fc00000;
      file.seekp(-4, std::ios::end);
      file.write(reinterpret_cast<const char*>(&nan), 4);
    }
  const CommandResult result = run({"-q"});
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_NE(result.err.find("1 tensors have values that are NaN or infinite"), std::string::npos) << result.err;
  EXPECT_FALSE(fs::exists(folder_ / "x"));
}

/// Sets values of a tensor of a bfloat16 checkpoint, by their places in it.
void poke(const fs::path& checkpoint, const std::string& tensor, const std::map<std::uint64_t, std::uint16_t>& values) {
  for (const auto& entry : fs::directory_iterator(checkpoint)) {
    if (entry.path().extension() != ".safetensors") continue;
    const std::string bytes = read_bytes(entry.path());
    std::uint64_t header = 0;
    std::memcpy(&header, bytes.data(), 8);
    const json entries = json::parse(bytes.substr(8, header));
    if (!entries.contains(tensor)) continue;
    std::fstream file(entry.path(), std::ios::binary | std::ios::in | std::ios::out);
    for (const auto& [index, value] : values) {
      const std::uint64_t begin = entries[tensor]["data_offsets"][0];
      file.seekp(static_cast<std::streamoff>(8 + header + begin + 2 * index));
      file.write(reinterpret_cast<const char*>(&value), 2);
    }
    return;
  }
  FAIL() << "no shard has " << tensor;
}

constexpr std::uint16_t kNan = 0x7fc0;       // bfloat16, as the two below
constexpr std::uint16_t kInfinity = 0xff80;  // negative
constexpr const char* kNorm = "model.language_model.layers.0.input_layernorm.weight";

TEST_F(Export, ValuesThatAreNotFiniteAreCountedByTensor) {
  make(tiny());
  poke(checkpoint_, kGate, {{0, kNan}, {1, kInfinity}, {5000, kNan}});
  poke(checkpoint_, kNorm, {{3, kInfinity}});
  poke(checkpoint_, "model.language_model.embed_tokens.weight", {{7, kNan}});  // in two forms, counted once
  expect_refusal(3,
                 c() +
                     ": 3 tensors have values that are NaN or infinite: \"model.language_model.embed_tokens.weight\" "
                     "(1), \"" +
                     kNorm + "\" (1), \"" + kGate +
                     "\" (3); the checkpoint is damaged, or its training diverged; --allow-nonfinite takes them as "
                     "they are, or as 0 where they are quantised");
}

TEST_F(Export, ValuesThatAreNotFiniteCanBeAllowed) {
  make(tiny());
  poke(checkpoint_, kGate, {{0, 0}, {1, 0}, {5000, 0}});
  ASSERT_EQ(run({"-q"}).exit_code, 0);
  const auto zeroed = tree(out_);
  poke(checkpoint_, kGate, {{0, kNan}, {1, kInfinity}, {5000, kNan}});
  const CommandResult result = run({"--allow-nonfinite", "--force"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(
      result.err.find("warning: 1 tensors have values that are NaN or infinite: \"" + std::string(kGate) + "\" (3)\n"),
      std::string::npos)
      << result.err;
  EXPECT_EQ(read_bytes(out_ / "model.onnx.data"), zeroed.at("model.onnx.data")) << "codes have no NaN";
  EXPECT_EQ(json::parse(read_bytes(out_ / "manifest.json"))["allow_nonfinite"], true);
  EXPECT_EQ(json::parse(zeroed.at("manifest.json"))["allow_nonfinite"], false);
  const CommandResult proof =
      run_command({Q3VL_EXPORT_BINARY, "verify", out_, "--checkpoint", c(), "--checks", "graph,weights", "-q"});
  EXPECT_EQ(proof.exit_code, 0) << proof.out << proof.err;

  ASSERT_EQ(run({"--allow-nonfinite", "--force", "--recipe", "fp32", "-q"}).exit_code, 0);
  const std::string floats = read_bytes(out_ / "model.onnx.data");
  const std::string pair("\xc0\x7f\x80\xff", 4);
  EXPECT_NE(floats.find(pair), std::string::npos) << "floating-point types keep them";
}

TEST_F(Export, TheOutputFolderCannotBeMade) {
  make(tiny());
  std::ofstream(folder_ / "file") << "";
  out_ = folder_ / "file" / "out";
  expect_refusal(5, out_.string() + ".partial: cannot create the folder: Not a directory");
}

TEST_F(Export, LeftoversOfAKilledRunAreReplaced) {
  make(tiny());
  const fs::path partial = out_.string() + ".partial";
  fs::create_directories(partial);
  std::ofstream(partial / ".qwen3vl-export-in-progress") << R"(["model.onnx.data", "manifest.json"])";
  std::ofstream(partial / "model.onnx.data") << "half a file";
  ASSERT_EQ(run({"-q"}).exit_code, 0);
  EXPECT_FALSE(fs::exists(partial));
  EXPECT_GT(fs::file_size(out_ / "model.onnx.data"), 1000U);
}

TEST_F(Export, APackageThatWasNotRenamedAnyMoreIsReplaced) {
  make(tiny());
  ASSERT_EQ(run({"-q"}).exit_code, 0);
  fs::rename(out_, out_.string() + ".partial");
  ASSERT_EQ(run({"-q"}).exit_code, 0);
  EXPECT_FALSE(fs::exists(out_.string() + ".partial"));
  EXPECT_TRUE(fs::exists(out_ / "model.onnx"));
}

TEST_F(Export, SomebodyElsesPartialFolderIsLeftAlone) {
  make(tiny());
  const fs::path partial = out_.string() + ".partial";
  fs::create_directories(partial);
  std::ofstream(partial / "mine.txt") << "precious";
  const CommandResult result = run({"-q"});
  EXPECT_EQ(result.exit_code, 5);
  EXPECT_EQ(result.err, "qwen3vl-export: " + partial.string() +
                            ": is in the way, and not left behind by this program; move it away\n");
  EXPECT_EQ(read_bytes(partial / "mine.txt"), "precious");
}

TEST_F(Export, WhatAKilledRunDidNotWriteIsLeftAlone) {
  make(tiny());
  const fs::path partial = out_.string() + ".partial";
  fs::create_directories(partial);
  std::ofstream(partial / ".qwen3vl-export-in-progress") << R"(["model.onnx.data", "../checkpoint/config.json"])";
  std::ofstream(partial / "model.onnx.data") << "half a file";
  std::ofstream(partial / "mine.txt") << "precious";
  const auto before = tree(folder_);
  const CommandResult result = run({"-q"});
  EXPECT_EQ(result.exit_code, 5);
  EXPECT_EQ(result.err,
            "qwen3vl-export: " + partial.string() +
                ": is in the way: a run that was killed left it behind, and it has \"mine.txt\", which this "
                "program did not write; move that away\n");
  EXPECT_EQ(tree(folder_), before);
  fs::remove(partial / "mine.txt");
  EXPECT_EQ(run({"-q"}).exit_code, 0);
  EXPECT_TRUE(fs::exists(checkpoint_ / "config.json"));
}

TEST_F(Export, InterruptedItLeavesNothing) {
  SynthOptions options = tiny();
  options.model.text.vocab_size = 1'000'000;  // most of the run is writing
  make(options);
  const auto before = tree(folder_);
  const std::vector<std::string> command = {
      Q3VL_EXPORT_BINARY, checkpoint_.string(), "-o", out_.string(), "--layout", "genai", "--threads", "1", "-q"};
  const auto start = std::chrono::steady_clock::now();
  ASSERT_EQ(run_command(command).exit_code, 0);
  const std::chrono::duration<double, std::milli> whole = std::chrono::steady_clock::now() - start;
  fs::remove_all(out_);

  int interrupted = 0;
  for (double share = 0.9; share > 0.3 && interrupted == 0; share -= 0.1) {
    const auto wait = std::chrono::milliseconds(static_cast<std::int64_t>(whole.count() * share));
    const CommandResult result = run_command(command, wait);
    if (result.exit_code == 0) {  // done before the signal came
      fs::remove_all(out_);
      continue;
    }
    EXPECT_EQ(tree(folder_), before);
    EXPECT_FALSE(fs::exists(out_.string() + ".partial"));
    if (result.exit_code != 130) continue;  // the signal came before the program could take it
    EXPECT_EQ(result.err, "qwen3vl-export: interrupted; nothing was left behind\n");
    ++interrupted;
  }
  EXPECT_GE(interrupted, 1) << "no run was caught while it worked";
}

TEST_F(Export, AStoredHeadOfATiedModelMustEqualTheEmbedding) {
  SynthOptions options = tiny();
  ASSERT_TRUE(options.model.text.tie_word_embeddings);
  const auto add_head = [](const std::string& stream) {
    return on("model.language_model.embed_tokens.weight", [stream](auto& tensors, std::size_t i) {
      SynthTensor head = tensors[i];
      head.name = "lm_head.weight";
      if (!stream.empty()) head.stream = stream;
      tensors.push_back(head);
    });
  };
  options.edit_tensors = add_head("");
  make(options);
  EXPECT_EQ(run({"-q"}).exit_code, 0);
  fs::remove_all(out_);
  fs::remove_all(checkpoint_);
  options.edit_tensors = add_head("another");
  make(options);
  expect_refusal(3, c() +
                        ": config.json ties lm_head to the embedding (tie_word_embeddings), but the stored "
                        "\"lm_head.weight\" differs from "
                        "\"model.language_model.embed_tokens.weight\"");
}

TEST_F(Export, TiedWeightsOfOneEncodingAreStoredOnce) {
  make(tiny());
  ASSERT_EQ(run({"--text", "int8", "--embedding", "int8", "-q"}).exit_code, 0);
  const json manifest = json::parse(read_bytes(out_ / "manifest.json"));
  EXPECT_FALSE(manifest["roles"].contains("lm_head")) << "the head has bytes of its own";
  const auto data_bytes = [&] {
    return static_cast<double>(fs::file_size(out_ / "embedding.onnx.data") + fs::file_size(out_ / "model.onnx.data"));
  };
  const double shared = data_bytes();
  fs::remove_all(out_);
  ASSERT_EQ(run({"--text", "int8", "--embedding", "fp32", "-q"}).exit_code, 0);
  const SynthModel model = synth_preset("tiny");
  // The head has codes and scales of its own now, and the table is bfloat16. Weights begin on pages, hence the slack.
  const auto table = static_cast<double>(model.text.vocab_size * model.text.hidden_size);
  EXPECT_NEAR(data_bytes() - shared, 2 * table, 2 * 4096);
}

TEST_F(Export, UsageErrors) {
  make(tiny());
  expect_refusal(2, "--components names \"audio\", expected vision, embedding or text", {"--components", "audio"});
  expect_refusal(2, "--text is \"int3\", expected fp32, fp16, int8, int4, int2, w8a8", {"--text", "int3"});
  expect_refusal(
      2, "--max-pixels is 10, but the checkpoint enlarges every picture to 65536 pixels at least (size.shortest_edge)",
      {"--max-pixels", "10"});
  const std::int64_t context = synth_preset("tiny").text.max_position_embeddings;
  expect_refusal(2,
                 "--max-length is " + std::to_string(context + 1) + ", but the model's context is " +
                     std::to_string(context) + " tokens (max_position_embeddings)",
                 {"--max-length", std::to_string(context + 1)});
  const CommandResult bare = run_command({Q3VL_EXPORT_BINARY});
  EXPECT_EQ(bare.exit_code, 2);
  EXPECT_EQ(bare.err, "qwen3vl-export: a checkpoint folder is missing; see qwen3vl-export --help\n");
  const CommandResult no_output = run_command({Q3VL_EXPORT_BINARY, c()});
  EXPECT_EQ(no_output.exit_code, 2);
  EXPECT_EQ(no_output.err, "qwen3vl-export: the output folder is missing: -o DIR; see qwen3vl-export --help\n");
  EXPECT_EQ(run_command({Q3VL_EXPORT_BINARY, "--frobnicate"}).exit_code, 2);
}

TEST_F(Export, HelpAndVersion) {
  const CommandResult help = run_command({Q3VL_EXPORT_BINARY, "--help"});
  EXPECT_EQ(help.exit_code, 0);
  for (const char* word :
       {"CHECKPOINT",   "--output",     "--recipe",     "--text",    "--vision", "--embedding",    "--block-size",
        "--components", "--max-length", "--max-pixels", "--threads", "--force",  "--allow-unused", "--logits",
        "--target",     "--quiet",      "--verbose",    "int4",      "fp32",     "Exit codes"})
    EXPECT_NE(help.out.find(word), std::string::npos) << word;
  const CommandResult version = run_command({Q3VL_EXPORT_BINARY, "--version"});
  EXPECT_EQ(version.exit_code, 0);
  for (const char* word : {"qwen3vl-export ", "libtorch ", "onnx ", "protobuf ", "nlohmann_json ", "spdlog ", "CLI11 "})
    EXPECT_NE(version.out.find(word), std::string::npos) << word;
}

TEST_F(Export, MissingFiles) {
  expect_refusal(3, c("config.json") + ": cannot open: No such file or directory");
  make(tiny());
  fs::rename(checkpoint_ / "tokenizer.json", folder_ / "tokenizer.json");
  expect_refusal(3, c("tokenizer.json") + ": is missing; no client could read or write text without it");
}

}  // namespace
}  // namespace q3vl::export_test
