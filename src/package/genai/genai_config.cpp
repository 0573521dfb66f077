#include "package/genai/genai_config.h"

#include <fmt/format.h>

#include <algorithm>

#include "contract/file_names.h"
#include "contract/graph_io.h"
#include "package/package_layout.h"

namespace q3vl {
namespace {

const ValueInfo& value_called(const std::vector<ValueInfo>& values, std::string_view name) {
  const auto found = std::find_if(values.begin(), values.end(), [&](const ValueInfo& v) { return v.name == name; });
  if (found == values.end()) throw Error(ErrorKind::internal, fmt::format("the graph has no value {}", name));
  return *found;
}

std::int64_t size_at(const ValueInfo& value, std::size_t axis) {
  return std::get<std::int64_t>(value.dims.at(axis));
}

OrderedJson session_options(const TargetProfile& target) {
  OrderedJson options = {{"log_id", "onnxruntime-genai"}, {"provider_options", OrderedJson::array()}};
  if (!target.provider.empty()) options["provider_options"].push_back({{target.provider, OrderedJson::object()}});
  return options;
}

/// {name: name} of values that go by their own names; those of the cache are given by a pattern elsewhere.
OrderedJson own_names(const std::vector<ValueInfo>& values) {
  OrderedJson names = OrderedJson::object();
  for (const ValueInfo& value : values)
    if (value.name.find('.') == std::string::npos) names[value.name] = value.name;
  return names;
}

OrderedJson decoder(const ClientInputs& from) {
  const Graph& text = *from.graphs.text;
  const ModelConfig& model = *from.config;
  const ValueInfo& past =
      value_called(text.inputs(), contract::layer_name(contract::kPastKey, 0));  // [batch, kv_heads, past, head_dim]
  static constexpr std::string_view kPattern = contract::kPastKey;
  static constexpr std::size_t kLayer = kPattern.find("%d");
  const auto layers = std::ranges::count_if(text.inputs(), [](const ValueInfo& input) {
    return input.name.starts_with(kPattern.substr(0, kLayer)) && input.name.ends_with(kPattern.substr(kLayer + 2));
  });
  // The one size that genai takes for both image_features and inputs_embeds: (1+D)·H. The cache has its own.
  const ValueInfo& first = text.inputs().front();
  const std::int64_t hidden_size = first.dims.size() == 3 ? size_at(first, 2) : model.text.hidden_size;
  OrderedJson inputs = own_names(text.inputs());
  inputs["past_key_names"] = contract::kPastKey;
  inputs["past_value_names"] = contract::kPastValue;
  OrderedJson outputs = own_names(text.outputs());
  outputs["present_key_names"] = contract::kPresentKey;
  outputs["present_value_names"] = contract::kPresentValue;
  return {{"session_options", session_options(*from.target)},
          {"filename", from.layout->file(GraphKind::text)},
          {"head_size", size_at(past, 3)},
          {"hidden_size", hidden_size},
          {"inputs", inputs},
          {"outputs", outputs},
          {"num_attention_heads", model.text.num_attention_heads},
          {"num_hidden_layers", layers},
          {"num_key_value_heads", size_at(past, 1)}};
}

OrderedJson vision(const ClientInputs& from) {
  const Graph& graph = *from.graphs.vision;
  const ModelConfig& model = *from.config;
  return {{"session_options", session_options(*from.target)},
          {"filename", from.layout->file(GraphKind::vision)},
          {"config_filename", kVisionProcessorFile},
          {"spatial_merge_size", model.vision->spatial_merge_size},
          {"patch_size", model.vision->patch_size},
          {"inputs", own_names(graph.inputs())},
          {"outputs", own_names(graph.outputs())}};
}

OrderedJson embedding(const ClientInputs& from) {
  const Graph& graph = *from.graphs.embedding;
  return {{"session_options", session_options(*from.target)},
          {"filename", from.layout->file(GraphKind::embedding)},
          {"inputs", own_names(graph.inputs())},
          {"outputs", own_names(graph.outputs())}};
}

}  // namespace

OrderedJson genai_config(const ClientInputs& inputs) {
  const PackageGraphs& graphs = inputs.graphs;
  const ModelConfig& model = *inputs.config;
  const GenerationConfig& generation = *inputs.generation;
  const bool pictures = graphs.vision != nullptr;
  OrderedJson document = OrderedJson::object();
  OrderedJson& m = object_in(document, "model");
  m["type"] = pictures ? "qwen3_vl" : "qwen3";
  m["bos_token_id"] = generation.bos_token_id;
  m["eos_token_id"] = generation.eos_token_ids;
  m["pad_token_id"] = generation.pad_token_id;
  if (pictures) {
    m["image_token_id"] = *model.image_token_id;
    m["video_token_id"] = *model.video_token_id;
    m["vision_start_token_id"] = *model.vision_start_token_id;
  }
  m["vocab_size"] = size_at(value_called(graphs.text->outputs(), contract::kLogits), 2);
  m["context_length"] = model.text.max_position_embeddings;
  m["decoder"] = decoder(inputs);
  if (pictures) {
    m["embedding"] = embedding(inputs);
    m["vision"] = vision(inputs);
  }
  document["search"] = {{"do_sample", generation.do_sample},
                        {"early_stopping", true},
                        {"max_length", inputs.max_length},
                        {"min_length", 0},
                        {"num_beams", 1},
                        {"num_return_sequences", 1},
                        {"no_repeat_ngram_size", 0},
                        {"past_present_share_buffer", true},
                        {"repetition_penalty", generation.repetition_penalty},
                        {"length_penalty", 1.0},
                        {"diversity_penalty", 0.0},
                        {"temperature", generation.temperature},
                        {"top_k", generation.top_k},
                        {"top_p", generation.top_p}};
  return document;
}

}  // namespace q3vl
