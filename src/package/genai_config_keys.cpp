#include "package/genai_config_keys.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "package/genai_config.h"

namespace q3vl {
namespace {

enum class Kind {
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
  Kind kind;
  bool required = false;
  std::vector<Key> keys = {};  ///< of an object
};

constexpr bool kRequired = true;

const std::vector<Key>& session_option_keys() {
  static const std::vector<Key> keys{{"log_id", Kind::text},
                                     {"enable_profiling", Kind::text},
                                     {"intra_op_num_threads", Kind::integer},
                                     {"inter_op_num_threads", Kind::integer},
                                     {"log_severity_level", Kind::integer},
                                     {"log_verbosity_level", Kind::integer},
                                     {"enable_cpu_mem_arena", Kind::boolean},
                                     {"enable_mem_pattern", Kind::boolean},
                                     {"graph_optimization_level", Kind::text},
                                     {"custom_ops_library", Kind::text},
                                     {"provider_options", Kind::providers}};
  return keys;
}

Key decoder_keys(bool multimodal) {
  return {"decoder",
          Kind::object,
          kRequired,
          {{"filename", Kind::text, kRequired},
           {"head_size", Kind::integer, kRequired},
           {"hidden_size", Kind::integer, kRequired},
           {"num_attention_heads", Kind::integer, kRequired},
           {"num_hidden_layers", Kind::integer, kRequired},
           {"num_key_value_heads", Kind::integer, kRequired},
           {"session_options", Kind::session_options},
           {"run_options", Kind::texts},
           {"inputs",
            Kind::object,
            kRequired,
            {{"input_ids", Kind::text, !multimodal},
             {"inputs_embeds", Kind::text, multimodal},
             {"attention_mask", Kind::text},
             {"position_ids", Kind::text},
             {"past_key_names", Kind::text, kRequired},
             {"past_value_names", Kind::text, kRequired}}},
           {"outputs",
            Kind::object,
            kRequired,
            {{"logits", Kind::text, kRequired},
             {"present_key_names", Kind::text, kRequired},
             {"present_value_names", Kind::text, kRequired}}}}};
}

Key embedding_keys() {
  return {"embedding",
          Kind::object,
          kRequired,
          {{"filename", Kind::text, kRequired},
           {"session_options", Kind::session_options},
           {"run_options", Kind::texts},
           {"inputs",
            Kind::object,
            kRequired,
            {{"input_ids", Kind::text, kRequired}, {"image_features", Kind::text, kRequired}}},
           {"outputs", Kind::object, kRequired, {{"inputs_embeds", Kind::text, kRequired}}}}};
}

Key vision_keys() {
  return {"vision",
          Kind::object,
          kRequired,
          {{"filename", Kind::text, kRequired},
           {"config_filename", Kind::text, kRequired},
           {"spatial_merge_size", Kind::integer, kRequired},
           {"patch_size", Kind::integer},
           {"window_size", Kind::integer},
           {"tokens_per_second", Kind::number},
           {"session_options", Kind::session_options},
           {"run_options", Kind::texts},
           {"inputs",
            Kind::object,
            kRequired,
            {{"pixel_values", Kind::text, kRequired}, {"image_grid_thw", Kind::text, kRequired}}},
           {"outputs", Kind::object, kRequired, {{"image_features", Kind::text, kRequired}}}}};
}

Key model_keys(bool multimodal) {
  Key model{"model",
            Kind::object,
            kRequired,
            {{"type", Kind::text, kRequired},
             {"tokenizer_dir", Kind::text},
             {"vocab_size", Kind::integer, kRequired},
             {"context_length", Kind::integer, kRequired},
             {"bos_token_id", Kind::integer},
             {"eos_token_id", Kind::integers, kRequired},
             {"pad_token_id", Kind::integer, kRequired}}};
  model.keys.push_back(decoder_keys(multimodal));
  if (multimodal) {
    for (const std::string_view id : {"image_token_id", "video_token_id", "vision_start_token_id"})
      model.keys.push_back({id, Kind::integer, kRequired});
    model.keys.push_back(embedding_keys());
    model.keys.push_back(vision_keys());
  }
  return model;
}

Key search_keys() {
  return {"search",
          Kind::object,
          kRequired,
          {{"min_length", Kind::integer},
           {"max_length", Kind::integer, kRequired},
           {"batch_size", Kind::integer},
           {"num_beams", Kind::integer},
           {"num_return_sequences", Kind::integer},
           {"top_k", Kind::integer},
           {"top_p", Kind::number},
           {"temperature", Kind::number},
           {"repetition_penalty", Kind::number},
           {"length_penalty", Kind::number},
           {"diversity_penalty", Kind::number},
           {"no_repeat_ngram_size", Kind::integer},
           {"random_seed", Kind::integer},
           {"chunk_size", Kind::number},
           {"do_sample", Kind::boolean},
           {"past_present_share_buffer", Kind::boolean},
           {"early_stopping", Kind::boolean}}};
}

bool is_integer(const Json& value) {
  if (!value.is_number()) return false;
  const auto number = value.get<double>();
  return number == std::trunc(number) && number >= std::numeric_limits<std::int32_t>::min() &&
         number <= std::numeric_limits<std::int32_t>::max();
}

class Checker {
 public:
  Checker(std::string type, Findings& findings) : type_(std::move(type)), findings_(&findings) {}

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
      case Kind::text:
        expect(path, value, value.is_string(), "a string");
        break;
      case Kind::integer:
        expect(path, value, is_integer(value), "an integer of 32 bits");
        break;
      case Kind::integers:
        expect(path, value,
               is_integer(value) ||
                   (value.is_array() && !value.empty() && std::all_of(value.begin(), value.end(), is_integer)),
               "an integer of 32 bits or an array of them");
        break;
      case Kind::number:
        expect(path, value, value.is_number(), "a number");
        break;
      case Kind::boolean:
        expect(path, value, value.is_boolean(), "true or false");
        break;
      case Kind::texts:
        texts(path, value);
        break;
      case Kind::session_options:
        session_options(path, value);
        break;
      case Kind::providers:
        providers(path, value);
        break;
      case Kind::object:
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
  Checker checker(type, findings);
  checker.object("", document, {model_keys(type == "qwen3_vl"), search_keys()});
  return checker.reliable();
}

}  // namespace q3vl
