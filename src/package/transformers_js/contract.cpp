#include "package/transformers_js/contract.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <set>

#include "base/json.h"
#include "chat/template_source.h"
#include "contract/file_names.h"
#include "contract/graph_io.h"
#include "package/client.h"
#include "package/findings.h"
#include "package/genai/genai_config.h"
#include "package/graph_reader.h"
#include "package/transformers_js/files.h"
#include "package/transformers_js/names.h"
#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

namespace fs = std::filesystem;

constexpr const char* kGatherBlockQuantized = "com.microsoft.GatherBlockQuantized";
constexpr std::int64_t kMostInteger = std::numeric_limits<std::int32_t>::max();
const std::vector<DataType> kHandedOver{DataType::float32, DataType::float16};

class TransformersJsChecker {
 public:
  explicit TransformersJsChecker(fs::path package) : package_(std::move(package)) {}

  std::vector<std::string> check() {
    std::optional<std::int64_t> layers;
    looking_at(kConfigFile, [&](const JsonObject& config) { layers = check_config(config); });
    looking_at(kPreprocessorFile, [&](const JsonObject& settings) { check_preprocessor(settings); });
    looking_at(kTokenizerConfigFile, [&](const JsonObject& settings) {
      if (!settings.has(kTemplateKey))
        add(kTokenizerConfigFile,
            "has no chat_template, expected it here: Transformers.js reads it from no other file");
      settings.string("tokenizer_class");
    });
    const std::optional<GraphFile> vision = read(transformers_js::kVisionEncoderFile);
    const std::optional<GraphFile> embedding = read(transformers_js::kEmbedTokensFile);
    const std::optional<GraphFile> decoder = read(transformers_js::kDecoderFile);
    const ValueInfo* features = vision ? check_vision(*vision) : nullptr;
    const ValueInfo* embeds = embedding ? check_embedding(*embedding) : nullptr;
    const ValueInfo* taken = decoder ? check_decoder(*decoder, layers) : nullptr;
    expect_handed_over(features, embeds, transformers_js::kVisionEncoderFile);
    expect_handed_over(embeds, taken, transformers_js::kEmbedTokensFile);
    return findings_.list();
  }

 private:
  void add(const std::string& file, const std::string& sentence) { findings_.add(file, sentence); }

  /// Reads a file of the package and hands on its object; what is refused there is a finding.
  template <typename Look>
  void looking_at(const char* file, Look look) {
    const fs::path path = package_ / file;
    try {
      const Json document = read_json_file(path);
      look(JsonObject(document, path.string()));
    } catch (const Error& error) {
      add_error(package_, error, findings_);
    }
  }

  /// Returns text_config.num_hidden_layers, which the caches are named by.
  std::int64_t check_config(const JsonObject& config) {
    if (const std::string type = config.string("model_type"); type != "qwen3_vl")
      config.fail(fmt::format("model_type is \"{}\", expected qwen3_vl", type));
    const Json* architectures = config.has("architectures") ? &config.json().at("architectures") : nullptr;
    if (architectures == nullptr || !architectures->is_array() || architectures->empty() ||
        architectures->front() != "Qwen3VLForConditionalGeneration")
      config.fail(
          "architectures does not begin with \"Qwen3VLForConditionalGeneration\", by which the model is chosen");
    for (const char* token : {"image_token_id", "video_token_id", "vision_start_token_id"})
      config.integer(token, 0, kMostInteger);
    config.object("vision_config").integer("spatial_merge_size", 1, kMostInteger);
    const JsonObject text = config.object("text_config");
    if (const std::string type = text.string("model_type"); type != "qwen3_vl_text")
      text.fail(fmt::format(
          "text_config.model_type is \"{}\", expected qwen3_vl_text, without which there are no caches", type));
    const JsonObject settings = config.object("transformers.js_config");
    if (const std::string dtype = settings.string("dtype"); dtype != "fp32")
      settings.fail(
          fmt::format("transformers.js_config.dtype is \"{}\", expected fp32, which stands for file names "
                      "without a suffix",
                      dtype));
    if (settings.has("use_external_data_format")) {
      const JsonObject counts = settings.object("use_external_data_format");
      for (const auto& [session, count] : counts.json().items())
        browser_files_[session] = counts.integer(session, 1, kMostInteger);
    }
    return text.integer("num_hidden_layers", 1, kMostInteger);
  }

  /// Each value here must be spelled out, and equal to what onnxruntime-genai takes.
  void check_preprocessor(const JsonObject& settings) {
    if (const std::string found = settings.string("processor_class"); found != "Qwen3VLProcessor")
      settings.fail(fmt::format("processor_class is \"{}\", expected Qwen3VLProcessor", found));
    settings.string("image_processor_type");
    if (!settings.boolean("do_normalize"))
      settings.fail("do_normalize is false, expected true: pixels would stay between 0 and 1");
    if (const auto resample = settings.integer("resample", 0, kMostInteger); resample != 3)
      settings.fail(fmt::format("resample is {}, expected 3, bicubic", resample));
    const fs::path path = package_ / kVisionProcessorFile;
    const Json document = read_json_file(path);
    const JsonObject processor = JsonObject(document, path.string()).object("processor");
    const JsonObject size = settings.object("size");
    const std::map<std::string, Json> own = {
        {"min_pixels", size.integer("shortest_edge", 1, INT64_MAX)},
        {"max_pixels", size.integer("longest_edge", 1, INT64_MAX)},
        {"patch_size", settings.integer("patch_size", 1, kMostInteger)},
        {"merge_size", settings.integer("merge_size", 1, kMostInteger)},
        {"temporal_patch_size", settings.integer("temporal_patch_size", 1, kMostInteger)},
        {"rescale_factor", settings.number("rescale_factor", 0, 1)},
        {"mean", settings.numbers("image_mean", -kMostPixelValue, kMostPixelValue)},
        {"std", settings.numbers("image_std", 0, kMostPixelValue)}};
    if (!processor.has("transforms") || !processor.json().at("transforms").is_array())
      return;  // genai's contract says so
    for (const Json& transform : processor.json().at("transforms")) {
      const Json::json_pointer attrs("/operation/attrs");
      if (!transform.is_object() || !transform.contains(attrs) || !transform.at(attrs).is_object()) continue;
      for (const auto& [key, value] : transform.at(attrs).items())
        if (const auto found = own.find(key); found != own.end() && found->second != value)
          add(kPreprocessorFile, fmt::format("the value for {} is {}, but {} in {}: the clients would see different "
                                             "pictures",
                                             key, found->second.dump(), value.dump(), kVisionProcessorFile));
    }
  }

  std::optional<GraphFile> read(std::string_view file) {
    std::optional<GraphFile> graph = read_graph_file(package_, std::string(file), findings_);
    if (graph && !browser_files_.empty()) {
      check_browser_files(*graph);
      check_browser_operators(*graph);
    }
    return graph;
  }

  /// A browser fetches `<graph>.onnx_data`, `<graph>.onnx_data_1`, … and nothing else.
  void check_browser_files(const GraphFile& graph) {
    const fs::path path(graph.file);
    const auto found = browser_files_.find(path.stem());
    const std::int64_t count = found == browser_files_.end() ? 0 : found->second;
    std::set<std::string> fetched;
    for (std::int64_t i = 0; i < count; ++i)
      fetched.insert(path.filename().string() + "_data" + (i == 0 ? "" : fmt::format("_{}", i)));
    for (const InitializerSummary& initializer : graph.summary.initializers)
      if (initializer.external && !fetched.contains(initializer.external->location)) {
        add(graph.file, fmt::format("has external data in {}, which a browser does not fetch: config.json's "
                                    "transformers.js_config.use_external_data_format says {}",
                                    initializer.external->location, count));
        return;
      }
    for (const std::string& name : fetched)
      if (!fs::is_regular_file(package_ / path.parent_path() / name))
        add(kConfigFile, fmt::format("transformers.js_config.use_external_data_format counts {}, which is missing",
                                     (path.parent_path() / name).string()));
  }

  /// What onnxruntime-web 1.31 has no kernel for on its CPU provider, in the build that Transformers.js takes; a
  /// session with it cannot be made.
  void check_browser_operators(const GraphFile& graph) {
    if (graph.summary.operators.contains(kGatherBlockQuantized))
      add(graph.file, fmt::format("has {}, which a browser's ONNX Runtime lacks", kGatherBlockQuantized));
    for (const InitializerSummary& initializer : graph.summary.initializers)
      if (initializer.type == DataType::bfloat16) {
        add(graph.file, fmt::format("the initializer {} is bfloat16, which a browser's ONNX Runtime cannot cast",
                                    initializer.name));
        return;
      }
  }

  const ValueInfo* check_vision(const GraphFile& file) {
    GraphReader graph(file, std::string(kTransformersJs.name), findings_);
    graph.input(contract::kPixelValues, {DataType::float32}, 2);
    graph.input(contract::kImageGridThw, {DataType::int64}, 2);
    graph.expect_all_fed();
    return graph.output(contract::kImageFeatures, kHandedOver, 2);
  }

  const ValueInfo* check_embedding(const GraphFile& file) {
    GraphReader graph(file, std::string(kTransformersJs.name), findings_);
    graph.input(contract::kInputIds, {DataType::int64}, 2);
    graph.expect_all_fed();
    return graph.output(contract::kInputsEmbeds, kHandedOver, 3);
  }

  /// Returns inputs_embeds.
  const ValueInfo* check_decoder(const GraphFile& file, std::optional<std::int64_t> layers) {
    GraphReader graph(file, std::string(kTransformersJs.name), findings_);
    const ValueInfo* embeds = graph.input(contract::kInputsEmbeds, kHandedOver, 3);
    graph.input(contract::kAttentionMask, {DataType::int64}, 2);
    graph.input(contract::kPositionIds, {DataType::int64}, 3);
    graph.output(contract::kLogits, kHandedOver, 3);
    if (!layers) return embeds;
    for (std::int64_t layer = 0; layer < *layers; ++layer)
      for (const auto& [before, after] :
           {std::pair{contract::kPastKey, contract::kPresentKey}, {contract::kPastValue, contract::kPresentValue}}) {
        const ValueInfo* past = graph.input(contract::layer_name(before, layer), kHandedOver, 4);
        graph.output(contract::layer_name(after, layer), kHandedOver, 4);
        if (past != nullptr) check_cache(graph, *past);
      }
    graph.expect_all_fed();
    return embeds;
  }

  /// The empty cache is shaped by what the graph declares: numbers as they are, "batch_size" as the batch, else 0.
  static void check_cache(GraphReader& graph, const ValueInfo& past) {
    const bool batch = past.dims[0] == Dim(std::string(contract::kBatch));
    if (batch && static_size(past, 1) && static_size(past, 3) && !static_size(past, 2)) return;
    graph.add(fmt::format("{} is {}, expected [batch_size, a number of heads, a symbol, a head size]", past.name,
                          to_text(past)));
  }

  void expect_handed_over(const ValueInfo* made, const ValueInfo* taken, std::string_view maker) {
    if (made == nullptr || taken == nullptr) return;
    if (made->type == taken->type && last_size(*made) == last_size(*taken)) return;
    add(std::string(maker), fmt::format("{} is {}, expected the type and last size of {}, {}", made->name,
                                        to_text(*made), taken->name, to_text(*taken)));
  }

  fs::path package_;
  Findings findings_;
  std::map<std::string, std::int64_t> browser_files_;
};

}  // namespace

std::vector<std::string> transformers_js_contract_findings(const fs::path& package) {
  return TransformersJsChecker(package).check();
}

}  // namespace q3vl
