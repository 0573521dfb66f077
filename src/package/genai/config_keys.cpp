#include "package/genai/config_keys.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "contract/file_names.h"
#include "package/genai/genai_config.h"

namespace q3vl {
namespace {

enum class KeyKind {
  text,
  integer,          ///< 32 bits
  integers,         ///< one, or an array of them
  number,           ///< any
  boolean,          ///< true or false
  texts,            ///< an object whose values are strings
  session_options,  ///< known keys of their types, and strings for ONNX Runtime under any other
  providers,        ///< [{"cuda": {strings}}]
  object
};

struct Key {
  std::string_view name;
  KeyKind kind;
  bool required = false;
  std::vector<Key> keys = {};  ///< of an object
};

constexpr bool kRequired = true;

const std::vector<Key>& session_option_keys() {
  static const std::vector<Key> keys{{"log_id", KeyKind::text},
                                     {"enable_profiling", KeyKind::text},
                                     {"intra_op_num_threads", KeyKind::integer},
                                     {"inter_op_num_threads", KeyKind::integer},
                                     {"log_severity_level", KeyKind::integer},
                                     {"log_verbosity_level", KeyKind::integer},
                                     {"enable_cpu_mem_arena", KeyKind::boolean},
                                     {"enable_mem_pattern", KeyKind::boolean},
                                     {"graph_optimization_level", KeyKind::text},
                                     {"custom_ops_library", KeyKind::text},
                                     {"provider_options", KeyKind::providers}};
  return keys;
}

Key decoder_keys(bool multimodal) {
  return {"decoder",
          KeyKind::object,
          kRequired,
          {{"filename", KeyKind::text, kRequired},
           {"head_size", KeyKind::integer, kRequired},
           {"hidden_size", KeyKind::integer, kRequired},
           {"num_attention_heads", KeyKind::integer, kRequired},
           {"num_hidden_layers", KeyKind::integer, kRequired},
           {"num_key_value_heads", KeyKind::integer, kRequired},
           {"session_options", KeyKind::session_options},
           {"run_options", KeyKind::texts},
           {"inputs",
            KeyKind::object,
            kRequired,
            {{"input_ids", KeyKind::text, !multimodal},
             {"inputs_embeds", KeyKind::text, multimodal},
             {"attention_mask", KeyKind::text},
             {"position_ids", KeyKind::text},
             {"past_key_names", KeyKind::text, kRequired},
             {"past_value_names", KeyKind::text, kRequired}}},
           {"outputs",
            KeyKind::object,
            kRequired,
            {{"logits", KeyKind::text, kRequired},
             {"present_key_names", KeyKind::text, kRequired},
             {"present_value_names", KeyKind::text, kRequired}}}}};
}

Key embedding_keys() {
  return {"embedding",
          KeyKind::object,
          kRequired,
          {{"filename", KeyKind::text, kRequired},
           {"session_options", KeyKind::session_options},
           {"run_options", KeyKind::texts},
           {"inputs",
            KeyKind::object,
            kRequired,
            {{"input_ids", KeyKind::text, kRequired}, {"image_features", KeyKind::text, kRequired}}},
           {"outputs", KeyKind::object, kRequired, {{"inputs_embeds", KeyKind::text, kRequired}}}}};
}

Key vision_keys() {
  return {"vision",
          KeyKind::object,
          kRequired,
          {{"filename", KeyKind::text, kRequired},
           {"config_filename", KeyKind::text, kRequired},
           {"spatial_merge_size", KeyKind::integer, kRequired},
           {"patch_size", KeyKind::integer},
           {"window_size", KeyKind::integer},
           {"tokens_per_second", KeyKind::number},
           {"session_options", KeyKind::session_options},
           {"run_options", KeyKind::texts},
           {"inputs",
            KeyKind::object,
            kRequired,
            {{"pixel_values", KeyKind::text, kRequired}, {"image_grid_thw", KeyKind::text, kRequired}}},
           {"outputs", KeyKind::object, kRequired, {{"image_features", KeyKind::text, kRequired}}}}};
}

Key model_keys(bool multimodal) {
  Key model{"model",
            KeyKind::object,
            kRequired,
            {{"type", KeyKind::text, kRequired},
             {"tokenizer_dir", KeyKind::text},
             {"vocab_size", KeyKind::integer, kRequired},
             {"context_length", KeyKind::integer, kRequired},
             {"bos_token_id", KeyKind::integer},
             {"eos_token_id", KeyKind::integers, kRequired},
             {"pad_token_id", KeyKind::integer, kRequired}}};
  model.keys.push_back(decoder_keys(multimodal));
  if (multimodal) {
    for (const std::string_view id : {"image_token_id", "video_token_id", "vision_start_token_id"})
      model.keys.push_back({id, KeyKind::integer, kRequired});
    model.keys.push_back(embedding_keys());
    model.keys.push_back(vision_keys());
  }
  return model;
}

Key search_keys() {
  return {"search",
          KeyKind::object,
          kRequired,
          {{"min_length", KeyKind::integer},
           {"max_length", KeyKind::integer, kRequired},
           {"batch_size", KeyKind::integer},
           {"num_beams", KeyKind::integer},
           {"num_return_sequences", KeyKind::integer},
           {"top_k", KeyKind::integer},
           {"top_p", KeyKind::number},
           {"temperature", KeyKind::number},
           {"repetition_penalty", KeyKind::number},
           {"length_penalty", KeyKind::number},
           {"diversity_penalty", KeyKind::number},
           {"no_repeat_ngram_size", KeyKind::integer},
           {"random_seed", KeyKind::integer},
           {"chunk_size", KeyKind::number},
           {"do_sample", KeyKind::boolean},
           {"past_present_share_buffer", KeyKind::boolean},
           {"early_stopping", KeyKind::boolean}}};
}

bool is_integer(const Json& value) {
  if (!value.is_number()) return false;
  const auto number = value.get<double>();
  return number == std::trunc(number) && number >= std::numeric_limits<std::int32_t>::min() &&
         number <= std::numeric_limits<std::int32_t>::max();
}

class KeyChecker {
 public:
  KeyChecker(std::string type, Findings& findings) : type_(std::move(type)), findings_(&findings) {}

  bool reliable() const { return reliable_; }

  void object(const std::string& path, const Json& value, const std::vector<Key>& keys) {
    if (!expect(path, value, value.is_object(), "an object")) return;
    for (const auto& item : value.items()) {
      const std::string inner = path.empty() ? item.key() : path + "." + item.key();
      const auto key = std::find_if(keys.begin(), keys.end(), [&](const Key& k) { return k.name == item.key(); });
      if (key != keys.end())
        check(inner, item.value(), *key);
      else
        add(fmt::format("{} is not a key that onnxruntime-genai reads for model.type {}", inner, type_));
    }
    for (const Key& key : keys)
      if (key.required && !value.contains(key.name)) {
        add(fmt::format("{}{}{} is missing", path, path.empty() ? "" : ".", key.name));
        reliable_ = false;
      }
  }

 private:
  void check(const std::string& path, const Json& value, const Key& key) {
    switch (key.kind) {
      case KeyKind::text:
        expect(path, value, value.is_string(), "a string");
        break;
      case KeyKind::integer:
        expect(path, value, is_integer(value), "an integer of 32 bits");
        break;
      case KeyKind::integers:
        expect(path, value,
               is_integer(value) ||
                   (value.is_array() && !value.empty() && std::all_of(value.begin(), value.end(), is_integer)),
               "an integer of 32 bits or an array of them");
        break;
      case KeyKind::number:
        expect(path, value, value.is_number(), "a number");
        break;
      case KeyKind::boolean:
        expect(path, value, value.is_boolean(), "true or false");
        break;
      case KeyKind::texts:
        texts(path, value);
        break;
      case KeyKind::session_options:
        session_options(path, value);
        break;
      case KeyKind::providers:
        providers(path, value);
        break;
      case KeyKind::object:
        object(path, value, key.keys);
        break;
    }
  }

  void texts(const std::string& path, const Json& value) {
    if (!expect(path, value, value.is_object(), "an object")) return;
    for (const auto& item : value.items())
      expect(path + "." + item.key(), item.value(), item.value().is_string(), "a string");
  }

  void session_options(const std::string& path, const Json& value) {
    if (!expect(path, value, value.is_object(), "an object")) return;
    const std::vector<Key>& keys = session_option_keys();
    for (const auto& item : value.items()) {
      const auto key = std::find_if(keys.begin(), keys.end(), [&](const Key& k) { return k.name == item.key(); });
      if (key != keys.end())
        check(path + "." + item.key(), item.value(), *key);
      else
        expect(path + "." + item.key(), item.value(), item.value().is_string(), "a string");
    }
  }

  void providers(const std::string& path, const Json& value) {
    if (!expect(path, value, value.is_array(), "an array")) return;
    for (const Json& provider : value) {
      if (!expect(path, provider, provider.is_object(), "objects in the array")) continue;
      for (const auto& item : provider.items()) texts(path + "." + item.key(), item.value());
    }
  }

  bool expect(const std::string& path, const Json& value, bool holds, std::string_view expected) {
    if (holds) return true;
    add(fmt::format("{} is {}, expected {}", path.empty() ? "the document" : path, describe(value), expected));
    reliable_ = false;
    return false;
  }

  void add(const std::string& sentence) { findings_->add(kGenaiConfigFile, sentence); }

  std::string type_;
  Findings* findings_;
  bool reliable_ = true;
};

}  // namespace

bool check_genai_config_keys(const Json& document, Findings& findings) {
  std::string type = "qwen3_vl";
  if (document.is_object() && document.contains("model") && document["model"].is_object()) {
    const Json& model = document["model"];
    if (model.contains("type") && model["type"].is_string()) type = model["type"].get<std::string>();
  }
  if (type != "qwen3_vl" && type != "qwen3") {
    findings.add(kGenaiConfigFile, fmt::format(R"(model.type is "{}", expected "qwen3_vl" or "qwen3")", type));
    return false;
  }
  KeyChecker checker(type, findings);
  checker.object("", document, {model_keys(type == "qwen3_vl"), search_keys()});
  return checker.reliable();
}

}  // namespace q3vl
