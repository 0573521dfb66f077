// Checkpoint folders as people have them: other names for the same tensors, and other things than checkpoints.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/command_line_test.h"

namespace q3vl::checkpoint_folder_test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;

using Rename = std::function<std::string(const std::string& name)>;

class CheckpointFolder : public CommandLineTest {
 protected:
  static SynthOptions renamed(SynthOptions options, const Rename& rename) {
    options.edit_tensors = [=](std::vector<SynthTensor>& tensors) {
      for (SynthTensor& tensor : tensors) tensor.name = rename(tensor.name);
    };
    return options;
  }

  static SynthOptions tied(bool tied) {
    SynthOptions options = tiny();
    options.model.text.tie_word_embeddings = tied;
    return options;
  }

  CommandResult plan(const fs::path& path) const { return run_command({Q3VL_EXPORT_BINARY, "plan", path}); }

  /// `path` is refused with exit code 3 and this sentence.
  void expect_explained(const fs::path& path, const std::string& message) const {
    const CommandResult result = plan(path);
    EXPECT_EQ(result.exit_code, 3) << result.err;
    EXPECT_EQ(result.err, "qwen3vl-export: " + path.string() + ": " + message + "\n");
  }

  /// The package of a checkpoint, file by file, without what names its files.
  std::map<std::string, std::string> exported(const fs::path& checkpoint) const {
    const CommandResult result =
        run_command({Q3VL_EXPORT_BINARY, checkpoint, "-o", out_, "-q", "--force", "--recipe", "fp32"});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    auto files = tree(out_);
    files.erase("manifest.json");
    return files;
  }

  /// The tensors under other names, and with `options` else as they are, make the package that they make under the
  /// hub's.
  void expect_read(const SynthOptions& options, const Rename& rename) {
    write_synthetic_checkpoint(options, folder_ / "hub");
    write_synthetic_checkpoint(renamed(options, rename), folder_ / "other");
    ASSERT_NE(read_bytes(folder_ / "hub/model.safetensors"), read_bytes(folder_ / "other/model.safetensors"));
    EXPECT_TRUE(exported(folder_ / "other") == exported(folder_ / "hub"));
    const CommandResult inspected = run_command({Q3VL_EXPORT_BINARY, "inspect", folder_ / "other"});
    EXPECT_EQ(inspected.exit_code, 0) << inspected.out;
  }
};

std::string without_model(const std::string& name) {
  return name.starts_with("model.") ? name.substr(6) : name;
}

TEST_F(CheckpointFolder, ModelsWithoutAHeadAreSavedWithoutModelInFront) {
  expect_read(tied(true), without_model);
}

TEST_F(CheckpointFolder, TheirHeadKeepsItsName) {
  expect_read(tied(false), without_model);
}

TEST_F(CheckpointFolder, ATiedModelMayStoreItsHeadAlone) {
  expect_read(tied(true), [](const std::string& name) {
    return name == "model.language_model.embed_tokens.weight" ? "lm_head.weight" : name;
  });
}

/// bfloat16's values are float32's too.
TEST_F(CheckpointFolder, ATiedHeadOfAnotherTypeMayHaveTheSameValues) {
  write_synthetic_checkpoint(tied(true), folder_ / "hub");
  SynthOptions both = tied(true);
  both.edit_tensors =
      on("model.language_model.embed_tokens.weight", [](std::vector<SynthTensor>& tensors, std::size_t at) {
        SynthTensor head = tensors[at];
        head.name = "lm_head.weight";
        tensors.push_back(head);
      });
  both.sparse = true;  // all zeros, in any type
  write_synthetic_checkpoint(both, folder_ / "same");
  both.edit_tensors = [edit = both.edit_tensors](std::vector<SynthTensor>& tensors) {
    edit(tensors);
    tensors.back().type = DataType::float32;
  };
  write_synthetic_checkpoint(both, folder_ / "wider");
  EXPECT_TRUE(exported(folder_ / "wider") == exported(folder_ / "same"));
}

TEST_F(CheckpointFolder, NamesOfWrappersAreRecognised) {
  const std::map<std::string, std::string> wrappers = {
      {"base_model.model.",
       "PEFT's (\"base_model.model.lm_head.weight\"); merge the adapter: "
       "model.merge_and_unload().save_pretrained(...)"},
      {"_orig_mod.",
       "torch.compile's (\"_orig_mod.lm_head.weight\"); save the model inside: model._orig_mod.save_pretrained(...)"},
      {"module.",
       "DeepSpeed's or DataParallel's (\"module.lm_head.weight\"); save the model inside: "
       "model.module.save_pretrained(...)"}};
  for (const auto& [prefix, words] : wrappers) {
    const fs::path path = folder_ / prefix;
    write_synthetic_checkpoint(renamed(tied(false), [&](const std::string& name) { return prefix + name; }), path);
    const CommandResult result = plan(path);
    EXPECT_EQ(result.exit_code, 3);
    EXPECT_THAT(result.err, HasSubstr("; the names look like " + words + "\n"));
  }
}

TEST_F(CheckpointFolder, OneTensorUnderTwoNamesIsRefused) {
  SynthOptions options = tied(true);
  options.edit_tensors = on("model.visual.merger.norm.weight", [](std::vector<SynthTensor>& tensors, std::size_t at) {
    SynthTensor twin = tensors[at];
    twin.name = "visual.merger.norm.weight";
    tensors.push_back(twin);
  });
  make(options);
  expect_explained(checkpoint_,
                   "the tensor \"model.visual.merger.norm.weight\" is there under two names; remove the one that does "
                   "not belong there");
}

TEST_F(CheckpointFolder, OtherThingsAreCalledByTheirNames) {
  const auto with = [&](const std::string& folder, const std::string& file, const std::string& text = "") {
    const fs::path path = folder_ / folder / file;
    fs::create_directories(path.parent_path());
    write_bytes(path, text);
    return folder_ / folder;
  };
  const fs::path adapter = with("adapter", "adapter_config.json", R"({"base_model_name_or_path": "Qwen/Qwen3-VL-2B"})");
  with("adapter", "adapter_model.safetensors");
  expect_explained(adapter,
                   "holds a LoRA adapter (adapter_config.json) for Qwen/Qwen3-VL-2B, not a whole model; merge "
                   "it first, in Python: PeftModel.from_pretrained(base_model, \"" +
                       adapter.string() + "\").merge_and_unload().save_pretrained(\"merged\")");
  const fs::path unreadable = with("unreadable adapter", "adapter_config.json", "{");
  EXPECT_THAT(plan(unreadable).err, HasSubstr("holds a LoRA adapter (adapter_config.json), not a whole model"));
  const fs::path cache = with("models--Qwen--Qwen3-VL-2B-Instruct", "snapshots/0123abcd/config.json", "{}");
  expect_explained(cache, "is the root of a hub cache; the checkpoint is " + (cache / "snapshots/0123abcd").string());
  const std::string gguf =
      "a GGUF file of llama.cpp, whose weights are quantised already; export the Hugging Face "
      "checkpoint that it was made from";
  const fs::path quantised = with("quantised", "model-Q4_K_M.gguf");
  expect_explained(quantised, "holds model-Q4_K_M.gguf, " + gguf);
  expect_explained(quantised / "model-Q4_K_M.gguf", "is " + gguf);
  const fs::path pickled = with("pickled", "pytorch_model-00001-of-00002.bin");
  with("pickled", "config.json", "{}");
  expect_explained(pickled,
                   "holds pytorch_model-00001-of-00002.bin, weights in PyTorch's own format; save them as "
                   "safetensors first, in Python: AutoModelForImageTextToText.from_pretrained(\"" +
                       pickled.string() + "\").save_pretrained(\"safetensors\")");
  expect_explained(with("states", "global_step500/mp_rank_00_model_states.pt"),
                   "holds global_step500, the state of a training run in pieces; write a whole checkpoint first (with "
                   "DeepSpeed: python zero_to_fp32.py . merged)");
  expect_explained(with("package", "genai_config.json", "{}"),
                   "is a package for onnxruntime-genai already, not a checkpoint");
  const fs::path single = with("single", "model.safetensors") / "model.safetensors";
  expect_explained(single, "is a single file; give its folder, " + single.parent_path().string() +
                               ", with config.json and the tokenizer's files in it");
  const fs::path hub = "Qwen/Qwen3-VL-2B-Instruct";
  expect_explained(hub,
                   "there is no such folder; if it is a name on the Hugging Face hub, download it first: hf download "
                   "Qwen/Qwen3-VL-2B-Instruct --local-dir Qwen3-VL-2B-Instruct");
}

}  // namespace
}  // namespace q3vl::checkpoint_folder_test
