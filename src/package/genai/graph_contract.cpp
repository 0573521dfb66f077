#include "package/genai/graph_contract.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <vector>

#include "contract/file_names.h"
#include "package/genai/genai_config.h"

namespace q3vl {
namespace {

constexpr const char* kClient = "onnxruntime-genai";
const std::vector<DataType> kFloats{DataType::float32, DataType::float16, DataType::bfloat16};
const std::vector<DataType> kCacheTypes{DataType::float32, DataType::float16, DataType::bfloat16, DataType::int8};
const std::vector<DataType> kIntegers{DataType::int64, DataType::int32};

class GraphChecker {
 public:
  GraphChecker(const Json& model, const GraphFiles& graphs, const std::optional<PatchSizes>& sizes, Findings& findings)
      : model_(&model), graphs_(&graphs), sizes_(sizes), findings_(&findings) {}

  void check() {
    const bool multimodal = graphs_->vision.has_value();
    const ValueInfo* embeds = check_decoder(multimodal);
    if (!multimodal) return;
    const ValueInfo* features = check_embedding(embeds);
    check_vision(embeds, features);
  }

 private:
  /// A name that the configuration gives to a value, or `fallback` where it may be left out.
  std::string name(const char* component, const char* direction, const char* key, const char* fallback = "") const {
    const Json& names = (*model_)[component][direction];
    return names.contains(key) ? names[key].get<std::string>() : fallback;
  }

  std::int64_t decoder_number(const char* key) const { return (*model_)["decoder"][key].get<std::int64_t>(); }

  void add_config(const std::string& sentence) { findings_->add(kGenaiConfigFile, sentence); }

  /// Returns inputs_embeds, when it is there and sound.
  const ValueInfo* check_decoder(bool multimodal) {
    GraphReader graph(graphs_->decoder, kClient, *findings_);
    const ValueInfo* embeds = nullptr;
    const std::string input_ids = name("decoder", "inputs", "input_ids", "input_ids");
    if (multimodal) {
      embeds = graph.input(name("decoder", "inputs", "inputs_embeds"), kFloats, 3);
      check_hidden_size(graph, embeds);
      if (graph.has_input(input_ids)) {
        graph.add(fmt::format("has an input {}, expected none beside {}", input_ids,
                              name("decoder", "inputs", "inputs_embeds")));
        graph.optional_input(input_ids, kIntegers, 2);
      }
    } else {
      graph.input(input_ids, kIntegers, 2);
    }
    check_positions(graph, multimodal);
    check_cache(graph);
    const ValueInfo* logits = graph.output(name("decoder", "outputs", "logits"), kFloats, 3);
    const auto vocab_size = (*model_)["vocab_size"].get<std::int64_t>();
    if (logits != nullptr && last_size(*logits) != vocab_size)
      graph.add(fmt::format("{} is {}, expected a last size of model.vocab_size = {}", logits->name, to_text(*logits),
                            vocab_size));
    graph.expect_all_fed();
    return embeds;
  }

  void check_hidden_size(GraphReader& graph, const ValueInfo*& embeds) {
    if (embeds == nullptr) return;
    const auto width = last_size(*embeds);
    if (!width) {
      graph.add(fmt::format("{} is {}, expected a known last size", embeds->name, to_text(*embeds)));
      embeds = nullptr;
    } else if (*width != decoder_number("hidden_size")) {
      add_config(fmt::format("model.decoder.hidden_size is {}, expected {}, the width of {} in {}",
                             decoder_number("hidden_size"), *width, embeds->name, graph.file()));
    }
  }

  void check_positions(GraphReader& graph, bool multimodal) {
    const ValueInfo* mask =
        graph.optional_input(name("decoder", "inputs", "attention_mask", "attention_mask"), kIntegers, 2);
    const ValueInfo* positions =
        graph.optional_input(name("decoder", "inputs", "position_ids", "position_ids"), kIntegers, multimodal ? 3 : 2);
    if (positions == nullptr) return;
    if (multimodal && static_size(*positions, 0) != 3)
      graph.add(fmt::format("{} is {}, expected [3, batch, sequence]", positions->name, to_text(*positions)));
    if (mask != nullptr && mask->type != positions->type)
      graph.add(fmt::format("{} is of {} and {} of {}, expected the same type", mask->name, name_of(mask->type),
                            positions->name, name_of(positions->type)));
  }

  void check_cache(GraphReader& graph) {
    const std::string past_keys = name("decoder", "inputs", "past_key_names");
    std::int64_t layers = 0;
    if (past_keys.find("%d") != std::string::npos)
      while (graph.has_input(contract::layer_name(past_keys, layers))) ++layers;
    const std::int64_t told = decoder_number("num_hidden_layers");
    if (layers != told)
      add_config(fmt::format("model.decoder.num_hidden_layers is {}, but {} has {} inputs {}", told, graph.file(),
                             layers, past_keys));
    const ValueInfo* first = layers == 0 ? nullptr : graph.input(contract::layer_name(past_keys, 0), kCacheTypes, 4);
    if (first == nullptr) return;
    for (const auto& [axis, key] : {std::pair{1U, "num_key_value_heads"}, std::pair{3U, "head_size"}}) {
      const auto size = static_size(*first, axis);
      if (size && *size != decoder_number(key))
        add_config(fmt::format("model.decoder.{} is {}, but {} of {} is {}", key, decoder_number(key), first->name,
                               graph.file(), to_text(*first)));
    }
    for (std::int64_t layer = 0; layer < layers; ++layer) {
      const auto input = [&](const char* key) { return contract::layer_name(name("decoder", "inputs", key), layer); };
      const auto output = [&](const char* key) { return contract::layer_name(name("decoder", "outputs", key), layer); };
      expect_alike(graph, graph.input(input("past_key_names"), kCacheTypes, 4), *first);
      expect_alike(graph, graph.input(input("past_value_names"), kCacheTypes, 4), *first);
      expect_alike(graph, graph.output(output("present_key_names"), kCacheTypes, 4), *first);
      expect_alike(graph, graph.output(output("present_value_names"), kCacheTypes, 4), *first);
    }
  }

  static void expect_alike(GraphReader& graph, const ValueInfo* value, const ValueInfo& first) {
    if (value == nullptr) return;
    if (value->type == first.type && value->dims[1] == first.dims[1] && value->dims[3] == first.dims[3]) return;
    graph.add(fmt::format("{} is {}, expected the type, heads and head size of {}, {}", value->name, to_text(*value),
                          first.name, to_text(first)));
  }

  /// Returns image_features, when it is there and sound. `embeds` is the decoder's inputs_embeds, if that is sound.
  const ValueInfo* check_embedding(const ValueInfo* embeds) {
    GraphReader graph(*graphs_->embedding, kClient, *findings_);
    const std::string fed = name("decoder", "inputs", "input_ids", "input_ids");
    const std::string input_ids = name("embedding", "inputs", "input_ids");
    if (input_ids != fed)
      add_config(fmt::format(R"(model.embedding.inputs.input_ids is "{}", expected "{}", the name that is fed)",
                             input_ids, fed));
    else
      graph.input(input_ids, kIntegers, 2);
    const ValueInfo* features = graph.input(name("embedding", "inputs", "image_features"), kFloats, 2);
    const ValueInfo* made = graph.output(name("embedding", "outputs", "inputs_embeds"), kFloats, 3);
    expect_same_width(graph, features, embeds);
    expect_same_width(graph, made, embeds);
    expect_same_type(graph, made, graphs_->decoder.file, embeds);
    if (input_ids == fed) graph.expect_all_fed();
    return features;
  }

  void check_vision(const ValueInfo* embeds, const ValueInfo* features) {
    GraphReader graph(*graphs_->vision, kClient, *findings_);
    const ValueInfo* pixels = graph.input(name("vision", "inputs", "pixel_values"), kFloats, 2);
    const std::string grid_name = name("vision", "inputs", "image_grid_thw");
    if (grid_name != contract::kImageGridThw)
      add_config(
          fmt::format("model.vision.inputs.image_grid_thw is \"{}\", expected \"image_grid_thw\", the one name "
                      "that is fed",
                      grid_name));
    const ValueInfo* grid = graph.input(contract::kImageGridThw, {DataType::int64}, 2);
    if (grid != nullptr && static_size(*grid, 1) != 3)
      graph.add(fmt::format("image_grid_thw is {}, expected [images, 3]", to_text(*grid)));
    if (pixels != nullptr && sizes_) {
      const auto patch =
          checked_element_count({3, sizes_->temporal_patch_size, sizes_->patch_size, sizes_->patch_size});
      if (!patch || last_size(*pixels) != patch)
        graph.add(fmt::format("{} is {}, expected a last size of {}, which the image transforms make", pixels->name,
                              to_text(*pixels), patch ? std::to_string(*patch) : "more than 2^63"));
    }
    const ValueInfo* made = graph.output(name("vision", "outputs", "image_features"), kFloats, 2);
    expect_same_width(graph, made, embeds);
    expect_same_type(graph, made, graphs_->embedding->file, features);
    graph.expect_all_fed();
  }

  void expect_same_width(GraphReader& graph, const ValueInfo* value, const ValueInfo* embeds) {
    if (value == nullptr || embeds == nullptr || last_size(*value) == last_size(*embeds)) return;
    graph.add(fmt::format("{} is {}, expected a last size of {} as {} of {}", value->name, to_text(*value),
                          *last_size(*embeds), embeds->name, graphs_->decoder.file));
  }

  static void expect_same_type(GraphReader& graph, const ValueInfo* made, const std::string& taker,
                               const ValueInfo* taken) {
    if (made == nullptr || taken == nullptr || made->type == taken->type) return;
    graph.add(fmt::format("{} is of {}, but {} takes {} of {}", made->name, name_of(made->type), taker, taken->name,
                          name_of(taken->type)));
  }

  const Json* model_;
  const GraphFiles* graphs_;
  std::optional<PatchSizes> sizes_;
  Findings* findings_;
};

}  // namespace

void check_genai_graphs(const Json& model, const GraphFiles& graphs, const std::optional<PatchSizes>& sizes,
                        Findings& findings) {
  GraphChecker(model, graphs, sizes, findings).check();
}

}  // namespace q3vl
