#include "config/model_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>
#include <set>

#include "config/neutral_keys.h"
#include "config/refusal.h"
#include "config/rope_config.h"
#include "contract/file_names.h"

namespace q3vl {
namespace {

// Far above every published model, low enough that a product of any three fits into 63 bits.
constexpr std::int64_t kMaxWidth = 1 << 20;
constexpr std::int64_t kMaxLayers = 4096;
constexpr std::int64_t kMaxVocabulary = 1 << 24;
constexpr std::int64_t kMaxExperts = 1 << 16;
constexpr double kMinEpsilon = 1e-30;  // a normal number in float32, in which graphs hold it

std::optional<JsonObject> optional_object(const JsonObject& object, std::string_view key) {
  return object.has(key) ? std::optional(object.object(key)) : std::nullopt;
}

/// Refuses a key whose value differs from the only one that is exported. An absent key means that value: it is Hugging
/// Face's own default.
void expect_string(const JsonObject& object, std::string_view key, std::string_view only) {
  if (!object.has(key)) return;
  if (const std::string found = object.string(key); found != only)
    unsupported(object, fmt::format("{} is \"{}\"; only \"{}\" is exported", object.path_of(key), found, only));
}

/// The keys of a mixture of experts may stand in any config, whatever its model_type says.
void check_experts(const JsonObject& object, bool dense) {
  for (const std::string_view key : {"num_experts", "num_local_experts"}) {
    if (!object.has(key)) continue;
    const std::int64_t count = object.integer(key, 0, kMaxExperts);
    if (dense && count > 0)
      unsupported(object, fmt::format("{} is {}, a mixture of experts; only dense models are exported",
                                      object.path_of(key), count));
  }
}

void refuse_quantised(const JsonObject& object) {
  for (const std::string_view key : {"quantization_config", "compression_config"})
    if (object.has(key))
      unsupported(object, fmt::format("{}: the checkpoint is quantised already; export the original bf16, fp16 or fp32 "
                                      "weights",
                                      object.path_of(key)));
}

enum class Architecture { vision_language, language };

Architecture check_architecture(const JsonObject& root) {
  constexpr std::string_view kExported =
      "this program exports dense Qwen3-VL models (model_type \"qwen3_vl\") and dense Qwen3 language models "
      "(\"qwen3\")";
  const std::string model_type = root.string("model_type");
  if (model_type != "qwen3_vl" && model_type != "qwen3") {
    const bool experts = model_type == "qwen3_vl_moe" || model_type == "qwen3_moe";
    if (experts) check_experts(optional_object(root, "text_config").value_or(root), /*dense=*/false);
    unsupported(root, fmt::format("model_type is \"{}\"{}; {}", model_type, experts ? ", a mixture of experts" : "",
                                  kExported));
  }
  // The visual tower alone has the model_type of the whole.
  if (root.has("architectures") && root.json().at("architectures") == Json::array({"Qwen3VLVisionModel"}))
    unsupported(root,
                "architectures is [\"Qwen3VLVisionModel\"], the visual tower alone; export the checkpoint that it was "
                "taken from");
  refuse_quantised(root);
  check_experts(root, /*dense=*/true);
  return model_type == "qwen3" ? Architecture::language : Architecture::vision_language;
}

/// A plain Qwen3 with another head than that of a language model (a classifier's) has the same model_type.
void check_language_head(const JsonObject& root) {
  constexpr const char* kOnly = "Qwen3ForCausalLM";
  if (root.has("architectures") && root.json().at("architectures") != Json::array({kOnly}))
    unsupported(root, fmt::format("architectures is {}; of plain Qwen3 models only [\"{}\"] is exported",
                                  root.json().at("architectures").dump(), kOnly));
}

/// Hugging Face writes tie_word_embeddings at the top, in text_config, or at both places.
bool parse_tied(const JsonObject& root, const JsonObject& text) {
  constexpr std::string_view kKey = "tie_word_embeddings";
  if (root.has(kKey) && text.has(kKey) && root.boolean(kKey) != text.boolean(kKey))
    root.fail(fmt::format("{} is {}, but {} is {}", root.path_of(kKey), root.boolean(kKey), text.path_of(kKey),
                          text.boolean(kKey)));
  if (root.has(kKey)) return root.boolean(kKey);
  if (text.has(kKey)) return text.boolean(kKey);
  root.fail("tie_word_embeddings is missing, at the top and in text_config");
}

/// The newer way to say what use_sliding_window says, a layer at a time.
void check_layer_types(const JsonObject& text) {
  constexpr std::string_view kKey = "layer_types";
  if (!text.has(kKey)) return;
  const Json& types = text.json().at(std::string(kKey));
  if (!types.is_array()) text.fail(fmt::format("{} is {}, expected an array", text.path_of(kKey), describe(types)));
  for (const Json& type : types)
    if (type != "full_attention")
      unsupported(text,
                  fmt::format("{} holds {}; only \"full_attention\" is exported", text.path_of(kKey), describe(type)));
  if (const auto layers = static_cast<std::size_t>(text.integer("num_hidden_layers", 1, kMaxLayers));
      types.size() != layers)
    text.fail(fmt::format("{} has {} entries, expected {}, one for each layer (num_hidden_layers)", text.path_of(kKey),
                          types.size(), layers));
}

/// What both architectures' language models have, at `text`.
TextConfig parse_text(const JsonObject& text, std::string module) {
  expect_string(text, "hidden_act", "silu");
  expect_neutral(text, text_neutral_keys());
  check_layer_types(text);
  TextConfig config{};
  config.module = std::move(module);
  config.vocab_size = text.integer("vocab_size", 1, kMaxVocabulary);
  config.hidden_size = text.integer("hidden_size", 1, kMaxWidth);
  config.intermediate_size = text.integer("intermediate_size", 1, kMaxWidth);
  config.num_hidden_layers = text.integer("num_hidden_layers", 1, kMaxLayers);
  config.num_attention_heads = text.integer("num_attention_heads", 1, kMaxWidth);
  config.num_key_value_heads = text.integer("num_key_value_heads", 1, config.num_attention_heads);
  config.head_dim = text.integer("head_dim", 1, kMaxWidth);
  config.max_position_embeddings = text.integer("max_position_embeddings", 1, kMaxContext);
  config.rms_norm_eps = text.number("rms_norm_eps", kMinEpsilon, 1);
  if (config.num_attention_heads % config.num_key_value_heads != 0)
    text.fail(fmt::format("{} is {}, which does not divide num_attention_heads, {}",
                          text.path_of("num_key_value_heads"), config.num_key_value_heads, config.num_attention_heads));
  if (config.num_attention_heads * config.head_dim > kMaxWidth)
    text.fail(fmt::format("{} × head_dim is {}, expected at most {}", text.path_of("num_attention_heads"),
                          config.num_attention_heads * config.head_dim, kMaxWidth));
  if (config.head_dim % 8 != 0)
    unsupported(text, fmt::format("{} is {}; ONNX Runtime's GroupQueryAttention needs a multiple of 8",
                                  text.path_of("head_dim"), config.head_dim));
  return config;
}

void check_deepstack(const JsonObject& vision, const VisionConfig& config, const TextConfig& text) {
  const auto& indexes = config.deepstack_visual_indexes;
  if (std::set(indexes.begin(), indexes.end()).size() != indexes.size())
    vision.fail(fmt::format("{} is [{}], which names a block twice", vision.path_of("deepstack_visual_indexes"),
                            fmt::join(indexes, ", ")));
  if (static_cast<std::int64_t>(indexes.size()) > text.num_hidden_layers)
    vision.fail(fmt::format("{} has {} entries, but only {} text layers could take them",
                            vision.path_of("deepstack_visual_indexes"), indexes.size(), text.num_hidden_layers));
}

VisionConfig parse_vision(const JsonObject& vision, const TextConfig& text) {
  expect_string(vision, "hidden_act", "gelu_pytorch_tanh");
  expect_neutral(vision, vision_neutral_keys());
  VisionConfig config{};
  config.depth = vision.integer("depth", 1, kMaxLayers);
  config.hidden_size = vision.integer("hidden_size", 1, kMaxWidth);
  config.intermediate_size = vision.integer("intermediate_size", 1, kMaxWidth);
  config.num_heads = vision.integer("num_heads", 1, kMaxWidth);
  config.in_channels = vision.integer("in_channels", 1, 64);
  if (config.in_channels != 3)
    unsupported(vision, fmt::format("{} is {}; only 3, for red, green and blue, is exported",
                                    vision.path_of("in_channels"), config.in_channels));
  config.patch_size = vision.integer("patch_size", 1, 1024);
  config.temporal_patch_size = vision.integer("temporal_patch_size", 1, 64);
  config.spatial_merge_size = vision.integer("spatial_merge_size", 1, 64);
  config.num_position_embeddings = vision.integer("num_position_embeddings", 1, kMaxWidth);
  config.out_hidden_size = vision.integer("out_hidden_size", 1, kMaxWidth);
  config.deepstack_visual_indexes = vision.integers("deepstack_visual_indexes", 0, config.depth - 1);
  if (config.hidden_size % config.num_heads != 0)
    vision.fail(fmt::format("{} is {}, which does not divide hidden_size, {}", vision.path_of("num_heads"),
                            config.num_heads, config.hidden_size));
  if (config.head_dim() % 4 != 0)
    vision.fail(
        fmt::format("{} / num_heads is {}, expected a multiple of 4 for the rotary embedding of rows and columns",
                    vision.path_of("hidden_size"), config.head_dim()));
  if (config.position_table_side() * config.position_table_side() != config.num_position_embeddings)
    vision.fail(fmt::format("{} is {}, expected a square number", vision.path_of("num_position_embeddings"),
                            config.num_position_embeddings));
  if (config.out_hidden_size != text.hidden_size)
    vision.fail(fmt::format("{} is {}, expected text_config.hidden_size, {}", vision.path_of("out_hidden_size"),
                            config.out_hidden_size, text.hidden_size));
  check_deepstack(vision, config, text);
  return config;
}

/// One id, or a list of them.
std::vector<std::int64_t> token_ids(const JsonObject& object, std::string_view key, std::int64_t last_token) {
  if (!object.has(key)) return {};
  if (object.json().at(std::string(key)).is_array()) return object.integers(key, 0, last_token);
  return {object.integer(key, 0, last_token)};
}

/// Clients tell what stands in a prompt by these ids.
void expect_distinct(const JsonObject& root, const ModelConfig& config) {
  std::map<std::int64_t, std::string_view> seen;
  for (const auto& [key, id] :
       {std::pair{"image_token_id", config.image_token_id}, std::pair{"video_token_id", config.video_token_id},
        std::pair{"vision_start_token_id", config.vision_start_token_id},
        std::pair{"vision_end_token_id", config.vision_end_token_id}})
    if (const auto [twin, is_new] = seen.try_emplace(*id, key); !is_new)
      root.fail(fmt::format("{} is {}, expected another id than that of {}", key, *id, twin->second));
}

/// Takes the ids that `object` has and that are not known yet.
void parse_text_tokens(const JsonObject& object, ModelConfig& config) {
  const std::int64_t last_token = config.text.vocab_size - 1;
  if (!config.bos_token_id && object.has("bos_token_id"))
    config.bos_token_id = object.integer("bos_token_id", 0, last_token);
  if (!config.pad_token_id && object.has("pad_token_id"))
    config.pad_token_id = object.integer("pad_token_id", 0, last_token);
  if (config.eos_token_ids.empty()) config.eos_token_ids = token_ids(object, "eos_token_id", last_token);
}

ModelConfig parse_vision_language(const JsonObject& root) {
  const JsonObject text = root.object("text_config");
  const JsonObject vision = root.object("vision_config");
  refuse_quantised(text);
  refuse_quantised(vision);
  check_experts(text, /*dense=*/true);
  ModelConfig config{};
  config.text = parse_text(text, "model.language_model");
  parse_rope(text, /*three_axes=*/true, config.text, config.warnings);
  config.text.tie_word_embeddings = parse_tied(root, text);
  config.vision = parse_vision(vision, config.text);
  const std::int64_t last_token = config.text.vocab_size - 1;
  config.image_token_id = root.integer("image_token_id", 0, last_token);
  config.video_token_id = root.integer("video_token_id", 0, last_token);
  config.vision_start_token_id = root.integer("vision_start_token_id", 0, last_token);
  config.vision_end_token_id = root.integer("vision_end_token_id", 0, last_token);
  expect_distinct(root, config);
  parse_text_tokens(text, config);
  parse_text_tokens(root, config);
  return config;
}

ModelConfig parse_language(const JsonObject& root) {
  check_language_head(root);
  ModelConfig config{};
  config.text = parse_text(root, "model");
  parse_rope(root, /*three_axes=*/false, config.text, config.warnings);
  config.text.tie_word_embeddings = root.boolean("tie_word_embeddings");
  parse_text_tokens(root, config);
  return config;
}

}  // namespace

std::int64_t VisionConfig::position_table_side() const {
  std::int64_t side = 1;
  while ((side + 1) * (side + 1) <= num_position_embeddings) ++side;
  return side;
}

ModelConfig parse_model_config(const Json& document, const std::string& origin) {
  const JsonObject root(document, origin);
  return check_architecture(root) == Architecture::language ? parse_language(root) : parse_vision_language(root);
}

ModelConfig read_model_config(const std::filesystem::path& checkpoint) {
  const auto path = checkpoint / kConfigFile;
  return parse_model_config(read_json_file(path), path.string());
}

}  // namespace q3vl
