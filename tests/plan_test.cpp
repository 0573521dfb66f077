// plan: what it announces is what an export then writes, to the byte.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "support/command.h"
#include "support/odd_model.h"
#include "support/temporary_folder.h"
#include "synth/synth_checkpoint.h"

namespace q3vl::plan_test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;

using Flags = std::vector<std::string>;

class Plan : public testing::TestWithParam<Flags> {
 protected:
  static const fs::path& checkpoint(const std::string& name) {
    static const TemporaryFolder folder;
    static std::map<std::string, fs::path> made;
    const auto [entry, is_new] = made.try_emplace(name, folder / name);
    if (is_new) {
      SynthOptions options = name == "odd" ? odd_model(2) : SynthOptions{.model = synth_preset("tiny")};
      write_synthetic_checkpoint(options, entry->second);
    }
    return entry->second;
  }

  static CommandResult run(const fs::path& source, const Flags& flags, const fs::path& program = Q3VL_EXPORT_BINARY) {
    std::vector<std::string> command = {program, "plan", source};
    command.insert(command.end(), flags.begin(), flags.end());
    return run_command(command);
  }

  static json plan(const fs::path& source, Flags flags) {
    flags.emplace_back("--json");
    const CommandResult result = run(source, flags);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(result.err, "");
    return json::parse(result.out);
  }

  /// Name → size of every file of the package that an export with these flags writes.
  std::map<std::string, std::uint64_t> exported(const fs::path& source, const Flags& flags) {
    const fs::path out = folder_ / "out";
    std::vector<std::string> command = {Q3VL_EXPORT_BINARY, source, "-o", out, "-q", "--force"};
    command.insert(command.end(), flags.begin(), flags.end());
    const CommandResult result = run_command(command);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    std::map<std::string, std::uint64_t> files;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(out))
      if (entry.is_regular_file()) files[entry.path().lexically_relative(out)] = entry.file_size();
    return files;
  }

  static std::map<std::string, std::uint64_t> planned_files(const json& plan) {
    std::map<std::string, std::uint64_t> files;
    for (const auto& [name, file] : plan["files"].items()) files[name] = file["bytes"];
    return files;
  }

  TemporaryFolder folder_;
};

TEST_P(Plan, IsWhatTheExportWrites) {
  for (const char* name : {"tiny", "odd"}) {  // tied and untied
    const json announced = plan(checkpoint(name), GetParam());
    const auto files = planned_files(announced);
    EXPECT_EQ(files, exported(checkpoint(name), GetParam())) << name;
    std::uint64_t total = 0;
    for (const auto& [file, bytes] : files) total += bytes;
    EXPECT_EQ(announced["total_bytes"], total);
  }
}

INSTANTIATE_TEST_SUITE_P(Recipes, Plan,
                         testing::Values(Flags{}, Flags{"--recipe", "fp32"}, Flags{"--recipe", "fp16"},
                                         Flags{"--recipe", "int8", "--block-size", "128"},
                                         Flags{"--embedding", "int4", "--logits", "all"},
                                         Flags{"--components", "text", "--max-length", "77"},
                                         Flags{"--components", "vision"}, Flags{"--max-pixels", "200000"}),
                         [](const auto& flags) {
                           std::string name = "default";
                           for (const std::string& flag : flags.param) name += flag;
                           std::erase_if(name, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; });
                           return name;
                         });

TEST_F(Plan, CountsEachRole) {
  const json announced = plan(checkpoint("tiny"), {"--text", "int4", "--embedding", "int4"});
  const TextConfig text = synth_preset("tiny").text;
  const auto layers = text.num_hidden_layers;
  const auto role = [&](const std::string& name) {
    for (const json& graph : announced["graphs"])
      for (const json& row : graph["roles"])
        if (row["role"] == name) return row;
    return json();
  };
  // 32 weights of four bits and a float16 scale are 18 bytes; two zero points share one.
  const auto int4_bytes = [](std::int64_t rows, std::int64_t columns) {
    const std::int64_t blocks = (columns + 31) / 32;
    return rows * (blocks * 18 + (blocks + 1) / 2);
  };
  const std::int64_t q_width = text.num_attention_heads * text.head_dim;
  EXPECT_EQ(role("attention_q"), json({{"role", "attention_q"},
                                       {"encoding", "int4-block32-grid-asym"},
                                       {"types", "uint8 + float16 + uint8"},
                                       {"weights", layers},
                                       {"tensors", 3 * layers},
                                       {"bytes", layers * int4_bytes(q_width, text.hidden_size)}}));
  EXPECT_EQ(role("norm")["weights"], 4 * layers + 1);
  EXPECT_EQ(role("norm")["bytes"], 4 * (layers * 2 * (text.hidden_size + text.head_dim) + text.hidden_size));
  EXPECT_EQ(role("embedding")["bytes"], int4_bytes(text.vocab_size, text.hidden_size));
  EXPECT_TRUE(role("lm_head").is_null()) << "tied and in the same encoding: the embedding's bytes";
}

TEST_F(Plan, IsExactFromTheRecipeThatAnExportSaved) {
  exported(checkpoint("tiny"), {"--recipe", "int8", "--block-size", "64"});
  const json again = plan(checkpoint("tiny"), {"--recipe", folder_ / "out/manifest.json"});
  EXPECT_EQ(planned_files(again), exported(checkpoint("tiny"), {"--recipe", folder_ / "out/manifest.json"}));
  EXPECT_EQ(again["recipe"]["text"]["block_size"], 64);
  EXPECT_EQ(again["recipe"]["text"]["precision"], "int8");
}

TEST_F(Plan, ReadsNoWeightAndWritesNothing) {
  const fs::path damaged = folder_ / "damaged";
  fs::copy(checkpoint("tiny"), damaged);
  const fs::path shard = damaged / "model.safetensors";
  const std::uint64_t size = fs::file_size(shard);
  {  // nothing but NaN behind the header
    std::ifstream in(shard, std::ios::binary);
    std::uint64_t header = 0;
    in.read(reinterpret_cast<char*>(&header), 8);
    std::fstream out(shard, std::ios::in | std::ios::out | std::ios::binary);
    out.seekp(static_cast<std::streamoff>(8 + header));
    out << std::string(size - 8 - header, '\xff');
  }
  const CommandResult refused = run_command({Q3VL_EXPORT_BINARY, damaged, "-o", folder_ / "never", "-q"});
  EXPECT_EQ(refused.exit_code, 3) << "the weights are damaged indeed";
  EXPECT_EQ(planned_files(plan(damaged, {})), planned_files(plan(checkpoint("tiny"), {})));
  EXPECT_EQ(plan(damaged, {"-o", folder_ / "a/b/c"})["free_disk_bytes"].get<std::uint64_t>() > 0, true);
  EXPECT_FALSE(fs::exists(folder_ / "a"));
}

TEST_F(Plan, ReadsATiedEmbeddingOnceForBothOfItsForms) {
  const fs::path file = checkpoint("tiny") / "model.safetensors";
  std::uint64_t header = 0;
  std::ifstream(file, std::ios::binary).read(reinterpret_cast<char*>(&header), sizeof(header));
  EXPECT_EQ(plan(checkpoint("tiny"), {"-q"})["checkpoint_bytes"], fs::file_size(file) - sizeof(header) - header);
}

TEST_F(Plan, NeedsNoLibTorch) {
  const fs::path alone = folder_ / "qwen3vl-export";  // without the other library that belongs beside it
  fs::copy_file(Q3VL_EXPORT_BINARY, alone);
  fs::copy_file(Q3VL_EXPORT_LIBRARY, folder_ / fs::path(Q3VL_EXPORT_LIBRARY).filename());
  fs::copy_file(fs::path(Q3VL_EXPORT_BINARY).parent_path() / "qwen3vl-export-chat", folder_ / "qwen3vl-export-chat");
  EXPECT_EQ(run(checkpoint("tiny"), {"-q"}, alone).exit_code, 0);
  const CommandResult refused = run_command({alone, checkpoint("tiny"), "-o", folder_ / "out", "-q"});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err, HasSubstr("qwen3vl-export-c10.so: cannot be opened: "));
  EXPECT_FALSE(fs::exists(folder_ / "out"));
}

TEST_F(Plan, IsTextForPeople) {
  const CommandResult result = run(checkpoint("tiny"), {});
  EXPECT_EQ(result.exit_code, 0);
  for (const char* part :
       {"onnx/vision_encoder.onnx: visual tower, fp32, ", "  attention_q        int4-block32-grid-asym ", "\nfiles:\n",
        "  manifest.json ", "  total ", "reads ", " of memory; ", " free on the disk\n"})
    EXPECT_THAT(result.out, HasSubstr(part));
  EXPECT_THAT(result.err, HasSubstr("max_length is 4096 tokens of the model's 4096"));
}

TEST_F(Plan, RefusesWhatTheExportRefuses) {
  const auto refusal = [](const fs::path& source, const Flags& flags) {
    const CommandResult result = run(source, flags);
    EXPECT_EQ(result.out, "");
    return std::to_string(result.exit_code) + " " + result.err;
  };
  const std::string source = checkpoint("tiny");
  EXPECT_EQ(refusal(folder_ / "none", {"-q"}), "3 qwen3vl-export: " + (folder_ / "none/config.json").string() +
                                                   ": cannot open: No such file or directory\n");
  EXPECT_EQ(refusal(source, {"--recipe", "int3", "-q"}),
            "2 qwen3vl-export: the recipe \"int3\" is not known; known are fp16, fp32, int4, int4-fast, int4-gptq, "
            "int4-mixed, "
            "int4-rtn, int4-small, int8, w8a8, or the path of a recipe file\n");
  EXPECT_EQ(refusal(source, {"--nonsense"}),
            "2 qwen3vl-export: The following argument was not expected: --nonsense; see qwen3vl-export plan --help\n");
  const CommandResult nothing = run_command({Q3VL_EXPORT_BINARY, "plan"});
  EXPECT_EQ(nothing.exit_code, 2);
  EXPECT_EQ(nothing.err, "qwen3vl-export: checkpoint is required; see qwen3vl-export plan --help\n");
}

}  // namespace
}  // namespace q3vl::plan_test
