// The story of looking at a checkpoint: what lies there, and whether it is what its config.json describes.
#include <fmt/format.h>

#include <functional>

#include "config/generation_config.h"
#include "config/image_config.h"
#include "package/assets.h"
#include "pipeline/checkpoint_check.h"
#include "pipeline/checkpoint_folder.h"
#include "pipeline/module_tree.h"
#include "pipeline/package_plan.h"
#include "qwen3vl_export/inspect.h"

namespace q3vl {
namespace {

/// The visual tower, or null in a model that has none.
const VisionConfig* vision_of(const ModelConfig& config) {
  return config.vision ? &*config.vision : nullptr;
}

InspectedVision inspect_vision(const ModelConfig& config, const VisionConfig& vision) {
  return {.depth = vision.depth,
          .hidden_size = vision.hidden_size,
          .intermediate_size = vision.intermediate_size,
          .num_heads = vision.num_heads,
          .patch_size = vision.patch_size,
          .temporal_patch_size = vision.temporal_patch_size,
          .spatial_merge_size = vision.spatial_merge_size,
          .num_position_embeddings = vision.num_position_embeddings,
          .deepstack_visual_indexes = vision.deepstack_visual_indexes,
          .image_token_id = *config.image_token_id,
          .video_token_id = *config.video_token_id,
          .vision_start_token_id = *config.vision_start_token_id,
          .vision_end_token_id = *config.vision_end_token_id};
}

InspectedConfig inspect_config(const ModelConfig& config) {
  const TextConfig& text = config.text;
  const VisionConfig* vision = vision_of(config);
  return {.text = {.num_hidden_layers = text.num_hidden_layers,
                   .hidden_size = text.hidden_size,
                   .intermediate_size = text.intermediate_size,
                   .num_attention_heads = text.num_attention_heads,
                   .num_key_value_heads = text.num_key_value_heads,
                   .head_dim = text.head_dim,
                   .vocab_size = text.vocab_size,
                   .max_position_embeddings = text.max_position_embeddings,
                   .rope_theta = text.rope_theta,
                   .mrope_section = text.mrope_section,
                   .tie_word_embeddings = text.tie_word_embeddings,
                   .bos_token_id = config.bos_token_id,
                   .eos_token_id = config.eos_token_ids,
                   .pad_token_id = config.pad_token_id},
          .vision = vision ? std::optional(inspect_vision(config, *vision)) : std::nullopt};
}

void list_tensors(const Checkpoint& checkpoint, CheckpointInspection& report) {
  for (const File& shard : checkpoint.shards())
    report.shards.push_back({.file = shard.path().filename().string(), .bytes = shard.size(), .tensors = 0});
  for (const auto& [name, info] : checkpoint.tensors()) {
    InspectedShard& shard = report.shards[info.shard];
    ++shard.tensors;
    report.tensors.push_back({.name = name,
                              .type = std::string(name_of(info.type)),
                              .shape = info.shape,
                              .file = shard.file,
                              .offset = info.offset,
                              .bytes = info.bytes});
  }
}

const char* kind_of(const WeightFault& fault) {
  switch (fault.kind) {
    case WeightFault::Kind::missing:
      return "missing_tensor";
    case WeightFault::Kind::shape:
      return "wrong_shape";
    case WeightFault::Kind::type:
      return "wrong_type";
  }
  return "";
}

/// Holds the tensors against what the model of `config` has. No encoding changes that, so the recipe is any.
void compare_tensors(const Checkpoint& checkpoint, const ModelConfig& config, std::vector<Finding>& findings) {
  const WeightRequests whole = request_whole_model(config, resolve_recipe("fp32", {}), checkpoint);
  for (const WeightFault& fault : whole.faults()) findings.push_back({kind_of(fault), fault.weight, fault.message});
  for (const TensorInfo* info : unexpected_tensors(checkpoint, config.text, whole))
    findings.push_back({"unexpected_tensor", info->name,
                        fmt::format("\"{}\" {} is not part of the model that config.json describes", info->name,
                                    to_string(info->shape))});
}

/// What `read` refuses becomes a finding.
void try_to(const char* kind, std::vector<Finding>& findings, const std::function<void()>& read) {
  try {
    read();
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::bad_input && error.kind() != ErrorKind::unsupported) throw;
    findings.push_back({kind, "", error.what()});
  }
}

}  // namespace

CheckpointInspection inspect_checkpoint(const std::filesystem::path& folder) {
  CheckpointInspection report;
  std::vector<Finding>& findings = report.findings;
  Checkpoint checkpoint = Checkpoint::open(folder, [&](const std::string& message) {
    findings.push_back({"files", "", message});
  });
  std::optional<ModelConfig> config;
  try_to("config", findings, [&] { config = read_checkpoint_config(folder); });
  if (config) try_to("files", findings, [&] { use_hub_names(checkpoint, *config); });
  report.model = module_tree(checkpoint);
  list_tensors(checkpoint, report);
  if (!config) return report;
  report.config = inspect_config(*config);
  compare_tensors(checkpoint, *config, findings);
  try_to("config", findings, [&] { read_generation_config(folder, *config); });
  const VisionConfig* vision = vision_of(*config);
  if (vision) try_to("config", findings, [&] { read_image_config(folder, *vision); });
  try_to("files", findings, [&] { assets(folder, vision != nullptr); });
  return report;
}

}  // namespace q3vl
