#include <fmt/format.h>

#include "commands/inspect_report.h"

namespace q3vl {
namespace {

using Json = nlohmann::ordered_json;

template <typename T>
Json optional_json(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

/// An array of what `convert` makes of each.
template <typename Items, typename Convert>
Json array_json(const Items& items, Convert convert) {
  Json json = Json::array();
  for (const auto& item : items) json.push_back(convert(item));
  return json;
}

Json file_json(const InspectedFile& file) {
  return {{"name", file.name}, {"bytes", optional_json(file.bytes)}};
}

Json tensor_json(const InspectedTensor& tensor) {
  const bool inside = tensor.file.empty();
  return {{"name", tensor.name},
          {"dtype", tensor.type},
          {"shape", tensor.shape},
          {"file", inside ? Json(nullptr) : Json(tensor.file)},
          {"offset", inside ? Json(nullptr) : Json(tensor.offset)},
          {"bytes", tensor.bytes}};
}

Json finding_json(const Finding& finding) {
  Json json = {{"kind", finding.kind}};
  if (!finding.tensor.empty()) json["tensor"] = finding.tensor;
  json["message"] = finding.message;
  return json;
}

Json config_json(const InspectedConfig& config) {
  const InspectedText& text = config.text;
  Json json;
  json["text"] = {{"num_hidden_layers", text.num_hidden_layers},
                  {"hidden_size", text.hidden_size},
                  {"intermediate_size", text.intermediate_size},
                  {"num_attention_heads", text.num_attention_heads},
                  {"num_key_value_heads", text.num_key_value_heads},
                  {"head_dim", text.head_dim},
                  {"vocab_size", text.vocab_size},
                  {"max_position_embeddings", text.max_position_embeddings},
                  {"rope_theta", text.rope_theta},
                  {"mrope_section", text.mrope_section},
                  {"tie_word_embeddings", text.tie_word_embeddings},
                  {"bos_token_id", optional_json(text.bos_token_id)},
                  {"eos_token_id", text.eos_token_id},
                  {"pad_token_id", optional_json(text.pad_token_id)}};
  json["vision"] = nullptr;
  if (!config.vision) return json;
  const InspectedVision& vision = *config.vision;
  json["vision"] = {{"depth", vision.depth},
                    {"hidden_size", vision.hidden_size},
                    {"intermediate_size", vision.intermediate_size},
                    {"num_heads", vision.num_heads},
                    {"patch_size", vision.patch_size},
                    {"temporal_patch_size", vision.temporal_patch_size},
                    {"spatial_merge_size", vision.spatial_merge_size},
                    {"num_position_embeddings", vision.num_position_embeddings},
                    {"deepstack_visual_indexes", vision.deepstack_visual_indexes},
                    {"image_token_id", vision.image_token_id},
                    {"video_token_id", vision.video_token_id},
                    {"vision_start_token_id", vision.vision_start_token_id},
                    {"vision_end_token_id", vision.vision_end_token_id}};
  return json;
}

Json module_json(const InspectedModule& node) {
  Json json = {{"name", node.indexes.empty() ? node.name : index_text(node.indexes)}};
  if (!node.indexes.empty()) json["indexes"] = node.indexes;
  json["copies"] = node.copies;
  json["parameters"] = node.parameters;
  json["bytes"] = node.bytes;
  json["dtypes"] = node.parameters_by_type;
  json["tensors"] = array_json(node.tensors, [](const ModuleTensor& tensor) {
    return Json{{"name", tensor.name}, {"dtype", tensor.type}, {"shape", tensor.shape}};
  });
  json["children"] = array_json(node.children, module_json);
  return json;
}

Json value_json(const InspectedValue& value) {
  const Json shape = array_json(
      value.shape, [](const auto& dim) { return std::visit([](const auto& size) { return Json(size); }, dim); });
  Json json = {{"name", value.name}, {"dtype", value.type}, {"shape", shape}};
  if (value.sequence) json["sequence"] = true;
  return json;
}

Json graph_json(const InspectedGraph& graph, bool tensors) {
  Json opsets = Json::object();
  for (const auto& [domain, version] : graph.opsets) opsets[domain.empty() ? "ai.onnx" : domain] = version;
  Json json = {
      {"file", graph.file},
      {"bytes", graph.bytes},
      {"ir_version", graph.ir_version},
      {"opsets", opsets},
      {"inputs", array_json(graph.inputs, value_json)},
      {"outputs", array_json(graph.outputs, value_json)},
      {"nodes", graph.nodes},
      {"operators", graph.operators},
      {"quantized",
       array_json(
           graph.quantized,
           [](const InspectedQuantization& form) {
             return Json{{"op", form.op}, {"bits", form.bits}, {"block_size", form.block_size}, {"nodes", form.nodes}};
           })},
      {"initializers", graph.initializers.size()}};
  if (tensors) json["tensors"] = array_json(graph.initializers, tensor_json);
  return json;
}

Json manifest_json(const InspectedManifest& manifest) {
  return {{"recipe_name", manifest.recipe_name},
          {"components", manifest.components},
          {"max_length", optional_json(manifest.max_length)},
          {"max_pixels", optional_json(manifest.max_pixels)},
          {"versions", manifest.versions},
          {"roles", array_json(manifest.roles, [](const InspectedRole& role) {
             return Json{{"role", role.role},
                         {"encoding", role.encoding},
                         {"weights", role.weights},
                         {"bytes", role.bytes},
                         {"files", role.files}};
           })}};
}

Json data_file_json(const InspectedDataFile& data) {
  Json json = file_json(data.file);
  json["graphs"] = data.graphs;
  json["initializers"] = data.initializers;
  json["used_bytes"] = data.used_bytes;
  json["shared_bytes"] = data.shared_bytes;
  json["gaps"] = data.gaps;
  json["unused_bytes"] = data.unused_bytes;
  return json;
}

}  // namespace

Json to_json(const CheckpointInspection& report, bool tensors) {
  Json json = {{"kind", "checkpoint"}};
  json["config"] = report.config ? config_json(*report.config) : Json(nullptr);
  json["model"] = module_json(report.model);
  json["shards"] = array_json(report.shards, [](const InspectedShard& shard) {
    return Json{{"name", shard.file}, {"bytes", shard.bytes}, {"tensors", shard.tensors}};
  });
  if (tensors) json["tensors"] = array_json(report.tensors, tensor_json);
  json["findings"] = array_json(report.findings, finding_json);
  return json;
}

Json to_json(const PackageInspection& report, bool tensors) {
  Json json = {{"kind", "package"}};
  json["manifest"] = report.manifest ? manifest_json(*report.manifest) : Json(nullptr);
  json["files"] = array_json(report.files, file_json);
  json["graphs"] = array_json(report.graphs, [&](const InspectedGraph& g) { return graph_json(g, tensors); });
  json["data_files"] = array_json(report.data_files, data_file_json);
  json["clients"] = array_json(report.clients, [](const InspectedClient& client) {
    return Json{{"name", client.name}, {"loads", client.loads}, {"files", array_json(client.files, file_json)}};
  });
  json["notes"] = report.notes;
  json["findings"] = array_json(report.findings, finding_json);
  return json;
}

}  // namespace q3vl
