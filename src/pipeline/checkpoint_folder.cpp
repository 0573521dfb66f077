#include "pipeline/checkpoint_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <regex>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "contract/file_names.h"
#include "qwen3vl/names.h"
#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(const fs::path& path, const std::string& what) {
  throw Error(ErrorKind::bad_input, fmt::format("{}: {}", path.string(), what));
}

constexpr const char* kGguf =
    "a GGUF file of llama.cpp, whose weights are quantised already; export the Hugging Face checkpoint that it was "
    "made "
    "from";

/// What a file is that stands where a checkpoint's folder should, and what to do; empty for an unknown one.
std::string explain_file(const fs::path& file) {
  const std::string extension = file.extension().string();
  if (extension == ".gguf") return fmt::format("is {}", kGguf);
  if (extension == ".safetensors")
    return fmt::format("is a single file; give its folder, {}, with config.json and the tokenizer's files in it",
                       file.has_parent_path() ? file.parent_path().string() : ".");
  return "";
}

/// The names of a folder's files, and of folders in it, in order; none of one that cannot be listed.
std::vector<std::string> names_in(const fs::path& folder) {
  std::error_code failure;
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, failure))
    names.push_back(entry.path().filename().string());
  std::ranges::sort(names);
  return names;
}

/// The base model that an adapter was trained on, by its adapter_config.json; empty where that does not tell.
std::string base_of_adapter(const fs::path& config) {
  try {
    const Json document = read_json_file(config);
    if (document.is_object()) return document.value("base_model_name_or_path", "");
  } catch (const Error&) {            // the file cannot be read, which is not the point: no adapter is exported
  } catch (const Json::exception&) {  // the name is no string
  }
  return "";
}

constexpr const char* kAdapterConfig = "adapter_config.json";

/// What a folder holds that lacks weights or config.json; empty where nothing known is there. A folder that cannot be
/// listed is left to the reader of what it lacks, whose message says why.
std::string explain_folder(const fs::path& folder) {
  const bool weights = path_exists(folder / kWeightsFile) || path_exists(folder / kIndexFile);
  const bool config = path_exists(folder / kConfigFile);
  if (weights && config) return "";
  const std::vector<std::string> names = names_in(folder);
  const auto holds = [&](const char* name) { return std::ranges::count(names, name) > 0; };
  if (holds(kGenaiConfigFile)) return "is a package for onnxruntime-genai already, not a checkpoint";
  if (const auto snapshots = names_in(folder / "snapshots"); !config && !snapshots.empty())
    return fmt::format("is the root of a hub cache; the checkpoint is {}",
                       (folder / "snapshots" / snapshots.front()).string());
  if (weights) return "";
  if (holds(kAdapterConfig)) {
    const std::string base = base_of_adapter(folder / kAdapterConfig);
    return fmt::format(
        "holds a LoRA adapter ({}){}, not a whole model; merge it first, in Python: "
        "PeftModel.from_pretrained(base_model, \"{}\").merge_and_unload().save_pretrained(\"merged\")",
        kAdapterConfig, base.empty() ? "" : fmt::format(" for {}", base), folder.string());
  }
  for (const std::string& name : names) {
    if (name.ends_with(".gguf")) return fmt::format("holds {}, {}", name, kGguf);
    if (name.starts_with("pytorch_model") && name.ends_with(".bin"))
      return fmt::format(
          "holds {}, weights in PyTorch's own format; save them as safetensors first, in Python: "
          "AutoModelForImageTextToText.from_pretrained(\"{}\").save_pretrained(\"safetensors\")",
          name, folder.string());
    if (name.starts_with("global_step") || name.ends_with(".distcp"))
      return fmt::format(
          "holds {}, the state of a training run in pieces; write a whole checkpoint first (with DeepSpeed: "
          "python zero_to_fp32.py . merged)",
          name);
  }
  return "";
}

/// Throws Error(bad_input) where no folder of a checkpoint is, and something else is recognised.
void expect_checkpoint_folder(const fs::path& path) {
  std::error_code not_examined;
  if (fs::is_directory(path, not_examined)) {
    if (const std::string what = explain_folder(path); !what.empty()) refuse(path, what);
    return;
  }
  if (path_exists(path)) {
    if (const std::string what = explain_file(path); !what.empty()) refuse(path, what);
    return;
  }
  static const std::regex name_on_hub("[A-Za-z0-9][\\w.-]*/[A-Za-z0-9][\\w.-]*");
  if (std::regex_match(path.string(), name_on_hub))
    refuse(path, fmt::format("there is no such folder; if it is a name on the Hugging Face hub, download it first: "
                             "hf download {} --local-dir {}",
                             path.string(), path.filename().string()));
}

/// A prefix that something has put before the hub's names.
struct Wrapper {
  std::string_view prefix;
  std::string_view whose;
  std::string_view advice;
};

constexpr std::array kWrappers = {
    Wrapper{"base_model.model.", "PEFT's", "merge the adapter: model.merge_and_unload().save_pretrained(...)"},
    Wrapper{"_orig_mod.", "torch.compile's", "save the model inside: model._orig_mod.save_pretrained(...)"},
    Wrapper{"module.", "DeepSpeed's or DataParallel's", "save the model inside: model.module.save_pretrained(...)"},
    Wrapper{"_fsdp_wrapped_module.", "FSDP's", "save a full state dict: trainer.save_model(...)"},
    Wrapper{"vision_tower.", "MLX's", "export the checkpoint that was converted to MLX"},
    Wrapper{"thinker.", "Qwen Omni's", "that is another model, which is not exported"},
};

/// The hub's name of the tensor `name`.
std::string hub_name(const std::string& name, const ModelConfig& config) {
  const std::vector<std::string_view> heads = config.vision
                                                  ? std::vector<std::string_view>{"visual.", "language_model."}
                                                  : std::vector<std::string_view>{"embed_tokens.", "layers.", "norm."};
  for (const std::string_view head : heads)
    if (name.starts_with(head)) return "model." + name;
  return name;
}

}  // namespace

ModelConfig read_checkpoint_config(const fs::path& folder) {
  expect_checkpoint_folder(folder);
  return read_model_config(folder);
}

Checkpoint open_checkpoint(const fs::path& folder, const ModelConfig& config) {
  Checkpoint checkpoint = Checkpoint::open(folder);
  use_hub_names(checkpoint, config);
  return checkpoint;
}

void use_hub_names(Checkpoint& checkpoint, const ModelConfig& config) {
  checkpoint.rename([&](const std::string& name) { return hub_name(name, config); });
  const std::string embedding = (names::embed_tokens(config.text) / "weight").path();
  if (config.text.tie_word_embeddings && checkpoint.find(embedding) == nullptr)
    checkpoint.rename([&](const std::string& name) { return name == names::kHeadWeight ? embedding : name; });
}

std::string explain_names(const Checkpoint& checkpoint) {
  for (const Wrapper& wrapper : kWrappers)
    for (const auto& [name, tensor] : checkpoint.tensors())
      if (name.starts_with(wrapper.prefix))
        return fmt::format("the names look like {} (\"{}\"); {}", wrapper.whose, name, wrapper.advice);
  return "";
}

}  // namespace q3vl
