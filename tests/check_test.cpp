// `qwen3vl-export check`: what is whole, and every way in which a folder can be not.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "support/command_line_test.h"

namespace q3vl::check_test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int kNotWhole = 6;

class Check : public CommandLineTest {
 protected:
  void SetUp() override {
    make(tiny());
    const CommandResult result = run_command({Q3VL_EXPORT_BINARY, c(), "-o", out_, "-q"});
    ASSERT_EQ(result.exit_code, 0) << result.err;
  }

  static CommandResult check(const fs::path& folder, const std::vector<std::string>& flags = {}) {
    std::vector<std::string> command = {Q3VL_EXPORT_BINARY, "check", folder};
    command.insert(command.end(), flags.begin(), flags.end());
    return run_command(command);
  }

  /// The findings that the folder has, which must be some.
  static std::vector<std::string> findings(const fs::path& folder) {
    const CommandResult result = check(folder, {"--json"});
    EXPECT_EQ(result.exit_code, kNotWhole) << result.out << result.err;
    const json report = json::parse(result.out);
    EXPECT_EQ(report["ok"], false);
    return report["findings"];
  }

  void edit_manifest(const std::function<void(json&)>& edit) const {
    json manifest = json::parse(read_bytes(out_ / "manifest.json"));
    edit(manifest);
    write_bytes(out_ / "manifest.json", manifest.dump());
  }
};

TEST_F(Check, TheManifestHasTheDigestOfEveryFile) {
  const json files = json::parse(read_bytes(out_ / "manifest.json"))["files"];
  for (const auto& entry : fs::recursive_directory_iterator(out_)) {
    const std::string name = entry.path().lexically_relative(out_);
    if (name == "manifest.json" || entry.is_directory()) continue;
    ASSERT_TRUE(files.contains(name)) << name;
    EXPECT_EQ(files[name]["sha256"], sha256sum(entry.path())) << name;
    EXPECT_EQ(files[name]["bytes"], fs::file_size(entry.path())) << name;
  }
}

TEST_F(Check, TheManifestTellsTheCheckpointFromOthers) {
  const json source = json::parse(read_bytes(out_ / "manifest.json"))["source"];
  EXPECT_EQ(source["config.json"]["sha256"], sha256sum(checkpoint_ / "config.json"));
  EXPECT_EQ(source["config.json"]["bytes"], fs::file_size(checkpoint_ / "config.json"));
  std::size_t shards = 0;
  for (const auto& entry : fs::directory_iterator(checkpoint_)) {
    if (entry.path().extension() != ".safetensors") continue;
    ++shards;
    const json& shard = source["shards"][entry.path().filename().string()];
    EXPECT_EQ(shard["bytes"], fs::file_size(entry.path()));
    const std::string bytes = read_bytes(entry.path());
    std::uint64_t length = 0;
    std::memcpy(&length, bytes.data(), 8);
    write_bytes(folder_ / "header", bytes.substr(0, 8 + length));
    EXPECT_EQ(shard["header_sha256"], sha256sum(folder_ / "header"));
  }
  EXPECT_EQ(source["shards"].size(), shards);
}

TEST_F(Check, AWholePackagePasses) {
  const CommandResult result = check(out_);
  EXPECT_EQ(result.exit_code, 0) << result.out;
  EXPECT_EQ(result.err, "");
  EXPECT_NE(result.out.find("loads in onnxruntime, onnxruntime-genai, Transformers.js\n"), std::string::npos)
      << result.out;
  EXPECT_NE(result.out.find(out_.string() + " is whole: 16 files, "), std::string::npos) << result.out;
  const json report = json::parse(check(out_, {"--json", "--threads", "3"}).out);
  EXPECT_EQ(report["ok"], true);
  EXPECT_EQ(report["files"], 16);
  EXPECT_EQ(report["findings"], json::array());
  const CommandResult quiet = check(out_, {"-q"});
  EXPECT_EQ(quiet.exit_code, 0);
  EXPECT_EQ(quiet.out + quiet.err, "");
}

TEST_F(Check, AnExtractedCheckpointPassesAndIsLookedAtAsOne) {
  const fs::path module = folder_ / "module";
  ASSERT_EQ(
      run_command({Q3VL_EXPORT_BINARY, "extract", c(), "-o", module, "--module", "language_model", "-q"}).exit_code, 0);
  const json files = json::parse(read_bytes(module / "manifest.json"))["files"];
  for (const auto& item : files.items()) EXPECT_EQ(item.value()["sha256"], sha256sum(module / item.key()));
  EXPECT_EQ(check(module).exit_code, 0) << check(module).out;
  std::fstream(module / "model.safetensors", std::ios::in | std::ios::out | std::ios::binary).seekp(-1, std::ios::end)
      << 'x';
  ASSERT_EQ(findings(module).size(), 1U);
  EXPECT_TRUE(findings(module)[0].starts_with("model.safetensors: its SHA-256 is ")) << findings(module)[0];
}

TEST_F(Check, OneBitInAnyFileIsFound) {
  for (const auto& [name, bytes] : tree(out_)) {
    if (name == "manifest.json") continue;
    std::string changed = bytes;
    changed[changed.size() / 2] = static_cast<char>(changed[changed.size() / 2] ^ 1);
    write_bytes(out_ / name, changed);
    const std::string digest = sha256sum(out_ / name);
    const std::vector<std::string> found = findings(out_);
    EXPECT_EQ(found.front().substr(0, name.size() + 17 + 64), name + ": its SHA-256 is " + digest);
    write_bytes(out_ / name, bytes);
  }
  EXPECT_EQ(check(out_).exit_code, 0);
}

TEST_F(Check, FilesThatAreGoneOfAnotherSizeOrNoFiles) {
  const auto size = fs::file_size(out_ / "onnx/vision_encoder.onnx_data");
  fs::resize_file(out_ / "onnx/vision_encoder.onnx_data", size + 1);
  EXPECT_EQ(findings(out_), (std::vector<std::string>{"onnx/vision_encoder.onnx_data: is " + std::to_string(size + 1) +
                                                      " bytes long, expected " + std::to_string(size)}));
  fs::resize_file(out_ / "onnx/vision_encoder.onnx_data", size);
  fs::rename(out_ / "generation_config.json", folder_ / "moved");
  const std::vector<std::string> gone = findings(out_);
  EXPECT_EQ(gone.front(), "generation_config.json: is missing");
  fs::create_symlink(folder_ / "moved", out_ / "generation_config.json");
  EXPECT_EQ(findings(out_), (std::vector<std::string>{"generation_config.json: is not a regular file"}));
}

TEST_F(Check, WhatAClientCannotLoadIsFoundThoughItsDigestIsRight) {
  const std::string config = read_bytes(out_ / "genai_config.json");
  json broken = json::parse(config);
  broken["model"]["type"] = "qwen4_vl";
  write_bytes(out_ / "genai_config.json", broken.dump());
  edit_manifest([&](json& manifest) {
    manifest["files"]["genai_config.json"] = {{"bytes", fs::file_size(out_ / "genai_config.json")},
                                              {"sha256", sha256sum(out_ / "genai_config.json")}};
  });
  const std::vector<std::string> found = findings(out_);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_TRUE(found[0].starts_with("onnxruntime-genai: genai_config.json: model.type is \"qwen4_vl\"")) << found[0];
}

/// A package's own files with right digests, which nobody could use.
TEST_F(Check, ATemplateOrATokenizerThatFailsIsFound) {
  const auto found_with = [&](const std::string& file, const std::function<void(json&)>& edit) {
    const std::string whole = read_bytes(out_ / file);
    const std::string manifest = read_bytes(out_ / "manifest.json");
    json document = json::parse(whole);
    edit(document);
    write_bytes(out_ / file, document.dump());
    edit_manifest([&](json& m) {
      m["files"][file] = {{"bytes", fs::file_size(out_ / file)}, {"sha256", sha256sum(out_ / file)}};
    });
    const std::vector<std::string> found = findings(out_);
    write_bytes(out_ / file, whole);
    write_bytes(out_ / "manifest.json", manifest);
    return found;
  };
  const auto with_template = [&](const json& text) {
    fs::rename(out_ / "chat_template.json", folder_ / "kept");
    edit_manifest([](json& m) { m["files"].erase("chat_template.json"); });
    const auto found = found_with("tokenizer_config.json", [&](json& settings) { settings["chat_template"] = text; });
    fs::rename(folder_ / "kept", out_ / "chat_template.json");
    return found;
  };
  using Found = std::vector<std::string>;
  EXPECT_EQ(with_template("{% if x"), Found{"tokenizer_config.json: the chat template cannot be read: Expected closing "
                                            "block tag at row 1, column 8"});
  EXPECT_EQ(with_template("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"),
            Found{"tokenizer_config.json: the chat template cannot be rendered: it is nested too deeply, for more than "
                  "32 MB of stack; a macro may call itself, or a list hold itself; it was given a conversation with a "
                  "text"});
  EXPECT_EQ(with_template("{{ messages[0].content }}"),
            Found{"tokenizer_config.json: for a conversation with one picture the chat template writes "
                  "<|vision_start|><|image_pad|><|vision_end|> 0 times, expected 1; clients put each picture in the "
                  "place of one"});
  EXPECT_EQ(with_template(1), Found{"onnxruntime-genai: tokenizer_config.json: chat_template is 1, expected a string"});
  EXPECT_EQ(found_with("chat_template.json", [](json& m) { m["chat_template"] = "another"; }).front(),
            "onnxruntime-genai: tokenizer_config.json has another chat template than chat_template.json; "
            "chat_template.json is taken, as Hugging Face does");
  const Found tokenizer = found_with("tokenizer.json", [](json& document) {
    document["pre_tokenizer"] = {
        {"type", "Sequence"},
        {"pretokenizers",
         {{{"type", "Split"}, {"pattern", {{"Regex", "(a"}}}, {"behavior", "Isolated"}, {"invert", false}},
          {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}};
  });
  ASSERT_EQ(tokenizer.size(), 1U);
  EXPECT_TRUE(
      tokenizer[0].starts_with("tokenizer.json: pre_tokenizer.pretokenizers[0].pattern.Regex is no regular "
                               "expression: U_REGEX_MISMATCHED_PAREN"))
      << tokenizer[0];
  EXPECT_EQ(check(out_).exit_code, 0);
}

TEST_F(Check, OtherFilesAreNamedAndNoFault) {
  std::ofstream(out_ / "README.md") << "mine";
  const CommandResult result = check(out_);
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_NE(result.out.find("not part of it, and not looked at: README.md\n"), std::string::npos) << result.out;
}

TEST_F(Check, ManifestsThatCannotBeCheckedBy) {
  const auto expect = [&](const std::string& message) {
    const CommandResult result = check(out_);
    EXPECT_EQ(result.exit_code, 3);
    EXPECT_EQ(result.err, "qwen3vl-export: " + (out_ / "manifest.json").string() + ": " + message + "\n");
    EXPECT_EQ(result.out, "");
  };
  const std::string manifest = read_bytes(out_ / "manifest.json");
  edit_manifest([](json& m) { m["format"] = 1; });
  expect("format is 1, expected 2: it is of an older version of this program, which recorded no digests; export again");
  write_bytes(out_ / "manifest.json", manifest);
  for (const char* name : {"../config.json", "/etc/passwd", "", ".."}) {
    edit_manifest([&](json& m) { m["files"][name] = {{"bytes", 1}, {"sha256", "00"}}; });
    expect("files lists \"" + std::string(name) + "\", expected paths of files inside the folder");
    write_bytes(out_ / "manifest.json", manifest);
  }
  fs::remove(out_ / "manifest.json");
  expect("is missing; expected a folder that this program wrote, whose manifest records the digest of every file");
  const CommandResult none = check(folder_ / "none");
  EXPECT_EQ(none.exit_code, 3);
  EXPECT_EQ(none.err, "qwen3vl-export: " + (folder_ / "none").string() + ": is not a folder; expected a package\n");
}

}  // namespace
}  // namespace q3vl::check_test
