// The story of an extraction: a module's tensors under their own names, in the shards that they lay in.
#include "qwen3vl_export/extract.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <span>

#include "base/file.h"
#include "base/parallel.h"
#include "base/sha256.h"
#include "checkpoint/checkpoint_writing.h"
#include "contract/file_names.h"
#include "package/genai/genai_config.h"
#include "package/manifest.h"
#include "pipeline/checkpoint_check.h"
#include "pipeline/checkpoint_folder.h"
#include "pipeline/module_config.h"
#include "pipeline/output_folder.h"
#include "pipeline/package_plan.h"
#include "pipeline/process.h"
#include "qwen3vl/names.h"

namespace q3vl {
namespace {

constexpr std::uint64_t kBytesToCopy = 8U << 20;

/// What tells one module from the other.
struct Module {
  std::string name;
  std::string component;  ///< whose graph needs its weights
  std::string from, to;   ///< what its tensors' names begin with, in the source and in the output
  bool head;              ///< lm_head belongs to it, under its own name
  AssetUse files;         ///< that go along
  std::string refusal;    ///< of a plain language model
};

const Module& find_module(const std::string& name) {
  static const Module language_model = {
      .name = "language_model",
      .component = "text",
      .from = "model.language_model.",
      .to = "model.",
      .head = true,
      .files = AssetUse::text,
      .refusal = "is a plain language model already; there is nothing to take it out of"};
  static const Module visual = {.name = "visual",
                                .component = "vision",
                                .from = "model.visual.",
                                .to = "",
                                .head = false,
                                .files = AssetUse::pictures,
                                .refusal = "is a plain language model, which has no visual tower"};
  for (const Module* module : {&language_model, &visual})
    if (module->name == name) return *module;
  throw Error(ErrorKind::usage, fmt::format("--module is \"{}\", expected language_model or visual", name));
}

/// A tensor on its way: where its bytes lie, and what it becomes.
struct Move {
  const TensorInfo* source;
  SafetensorsEntry target;
};

/// One file of the output.
struct Shard {
  std::string name;
  std::string header;
  std::vector<Move> moves;  ///< in the order of their bytes, here and in the source
  std::uint64_t bytes;      ///< of the tensors
};

/// Shard by shard of the source what `taken` takes of it; shards of which it takes nothing vanish.
std::vector<Shard> plan_shards(const Checkpoint& checkpoint, const Module& module,
                               const std::function<bool(const TensorInfo&)>& taken) {
  std::vector<std::vector<const TensorInfo*>> by_shard(checkpoint.shards().size());
  for (const auto& [name, info] : checkpoint.tensors())
    if (taken(info)) by_shard[info.shard].push_back(&info);
  std::erase_if(by_shard, [](const auto& tensors) { return tensors.empty(); });

  std::vector<Shard> shards;
  for (auto& tensors : by_shard) {
    std::sort(tensors.begin(), tensors.end(), [](const auto* a, const auto* b) { return a->offset < b->offset; });
    Shard shard{.name = shard_name(shards.size(), by_shard.size()), .header = {}, .moves = {}, .bytes = 0};
    std::vector<SafetensorsEntry> entries;
    for (const TensorInfo* info : tensors) {
      const bool inside = info->name.starts_with(module.from);  // lm_head.weight is not
      entries.push_back({.name = inside ? module.to + info->name.substr(module.from.size()) : info->name,
                         .type = info->type,
                         .shape = info->shape,
                         .begin = shard.bytes,
                         .end = shard.bytes + info->bytes});
      shard.moves.push_back({info, entries.back()});
      shard.bytes += info->bytes;
    }
    shard.header = safetensors_header(entries);
    shards.push_back(std::move(shard));
  }
  return shards;
}

std::string index_of(const std::vector<Shard>& shards) {
  std::map<std::string, std::string> weight_map;
  std::uint64_t total = 0;
  for (const Shard& shard : shards) {
    for (const Move& move : shard.moves) weight_map[move.target.name] = shard.name;
    total += shard.bytes;
  }
  return index_text(weight_map, total);
}

/// Everything that is decided before a byte is written.
struct ExtractionPlan {
  std::vector<Shard> shards;
  std::vector<SmallFile> small_files;  ///< but for the manifest
  std::vector<Asset> assets;
  std::uint64_t tensor_bytes;
};

ExtractionPlan plan_extraction(const ExtractRequest& request, const Module& module, const CheckedModel& model) {
  const auto taken = [&](const TensorInfo& info) {
    // A tied model that stores its head all the same keeps it.
    return model.requests.requested(info.name) || (module.head && info.name == names::kHeadWeight);
  };
  ExtractionPlan plan{.shards = plan_shards(*model.checkpoint, module, taken),
                      .small_files = {},
                      .assets = assets_for(request.checkpoint, module.files),
                      .tensor_bytes = 0};
  for (const Shard& shard : plan.shards) plan.tensor_bytes += shard.bytes;
  const auto add = [&](const char* name, const char* contents, std::string bytes) {
    plan.small_files.push_back({{name, bytes.size(), contents}, std::move(bytes)});
  };
  if (plan.shards.size() > 1) add(kIndexFile, "which tensor lies in which file", index_of(plan.shards));
  const Json source = read_json_file(request.checkpoint / kConfigFile);
  const Json config = module.head ? language_model_config(source, model.config.text) : visual_config(source);
  add(kConfigFile, "the module's config", config.dump(2) + "\n");
  return plan;
}

std::vector<ExportedFile> files_of(const ExtractionPlan& plan) {
  std::vector<ExportedFile> files;
  for (const Shard& shard : plan.shards)
    files.push_back({shard.name, shard.header.size() + shard.bytes, fmt::format("{} tensors", shard.moves.size())});
  for (const SmallFile& small : plan.small_files) files.push_back(small.file);
  for (const Asset& asset : plan.assets) files.push_back({asset.name, asset.bytes, asset.contents});
  return files;
}

/// Block by block through one buffer. `copied` is called with the bytes of each block. Returns the file's SHA-256.
std::string write_shard(const Checkpoint& checkpoint, const Shard& shard, const std::filesystem::path& folder,
                        std::vector<std::byte>& buffer, const std::function<void(std::uint64_t)>& copied) {
  File file = File::create(folder / shard.name);
  file.reserve(shard.header.size() + shard.bytes);
  file.write_at(0, std::as_bytes(std::span(shard.header)));
  Sha256 digest;
  digest.update(std::as_bytes(std::span(shard.header)));
  for (const Move& move : shard.moves)
    for (std::uint64_t done = 0; done < move.source->bytes; done += buffer.size()) {
      throw_if_interrupted();
      const std::span block =
          std::span(buffer).first(std::min<std::uint64_t>(buffer.size(), move.source->bytes - done));
      checkpoint.shards()[move.source->shard].read_once_at(move.source->offset + done, block);
      file.write_once_at(shard.header.size() + move.target.begin + done, block);
      digest.update(block);
      copied(block.size());
    }
  file.finish();
  return digest.hex();
}

}  // namespace

ExportReport extract_module(const ExtractRequest& request, const ExportObserver& observer) {
  const auto start = std::chrono::steady_clock::now();
  const Module& module = find_module(request.module);
  if (!read_checkpoint_config(request.checkpoint).vision)
    throw Error(ErrorKind::usage, fmt::format("{}: {}", request.checkpoint.string(), module.refusal));
  const CheckedModel model = check_model(
      {.checkpoint = request.checkpoint, .components = {module.component}, .allow_unused = request.allow_unused},
      resolve_recipe("fp32", {}));
  check_tied_head(*model.checkpoint, model.config.text, model.requests);
  const ExtractionPlan plan = plan_extraction(request, module, model);

  ExportReport report{.files = files_of(plan), .seconds = 0, .peak_memory_bytes = 0};
  ManifestFiles listed;
  for (const ExportedFile& file : report.files) listed[file.name] = {file.bytes, unknown_sha256()};
  const CheckpointFingerprint source = fingerprint(*model.checkpoint);
  const auto manifest_text = [&] {
    return extraction_manifest(versions().front().second, module.name, source, listed).dump(2) + "\n";
  };
  report.files.push_back({kManifestFile, manifest_text().size(), "what was extracted, and by which version"});

  OutputFolder folder(request.output, request.checkpoint, request.force, "checkpoint");
  std::uint64_t bytes = 0;
  for (const ExportedFile& file : report.files) bytes += file.bytes;
  folder.make_room(report.files);
  observer.detail(fmt::format("{} bytes of tensors to copy, {} bytes to write", plan.tensor_bytes, bytes));

  std::vector<std::byte> buffer(kBytesToCopy);
  std::uint64_t done = 0;
  for (const Shard& shard : plan.shards)
    listed[shard.name].sha256 = write_shard(*model.checkpoint, shard, folder.path(), buffer, [&](std::uint64_t count) {
      done += count;
      observer.progress({done, plan.tensor_bytes, "copied", ""});
    });
  for (const auto& [file, text] : plan.small_files) {
    write_text_file(folder.path() / file.name, text);
    listed[file.name].sha256 = sha256_of(text);
  }
  for (const auto& [name, sha256] : copy_assets(request.checkpoint, plan.assets, folder.path()))
    listed[name].sha256 = sha256;
  write_text_file(folder.path() / kManifestFile, manifest_text());
  model.checkpoint->expect_unchanged();
  throw_if_interrupted();
  folder.commit();

  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  report.peak_memory_bytes = peak_memory();
  return report;
}

}  // namespace q3vl
