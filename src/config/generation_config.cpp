#include "config/generation_config.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <string>

#include "base/file.h"
#include "contract/file_names.h"

namespace q3vl {
namespace {

/// "<|im_end|>", or {"content": "<|im_end|>", …}; empty for anything else.
std::string token_text(const Json& token) {
  const Json& text = token.is_object() && token.contains("content") ? token.at("content") : token;
  return text.is_string() ? text.get<std::string>() : "";
}

/// The id of the token that tokenizer_config.json names as eos_token, by its own list or by tokenizer.json's.
std::optional<std::int64_t> named_end(const std::filesystem::path& folder, std::int64_t last) {
  const auto path = folder / kTokenizerConfigFile;
  if (!path_exists(path)) return std::nullopt;
  const Json settings = read_json_file(path, kTokenizerJson);
  const std::string name =
      settings.is_object() && settings.contains("eos_token") ? token_text(settings.at("eos_token")) : "";
  if (name.empty()) return std::nullopt;
  if (settings.contains("added_tokens_decoder") && settings.at("added_tokens_decoder").is_object())
    for (const auto& [id, token] : settings.at("added_tokens_decoder").items()) {
      std::int64_t value = -1;
      std::from_chars(id.data(), id.data() + id.size(), value);
      if (token_text(token) == name && value >= 0 && value <= last) return value;
    }
  if (!path_exists(folder / kTokenizerFile)) return std::nullopt;
  const Json tokenizer = read_json_file(folder / kTokenizerFile, kTokenizerJson);
  if (tokenizer.is_object() && tokenizer.contains("added_tokens") && tokenizer.at("added_tokens").is_array())
    for (const Json& token : tokenizer.at("added_tokens"))
      if (token_text(token) == name && token.is_object() && token.contains("id") && token.at("id").is_number_integer())
        return token.at("id").get<std::int64_t>();
  return std::nullopt;
}

}  // namespace

GenerationConfig parse_generation_config(const Json& document, const std::string& origin, const ModelConfig& model) {
  GenerationConfig config{};
  std::optional<std::int64_t> bos = model.bos_token_id;
  std::optional<std::int64_t> pad = model.pad_token_id;
  config.eos_token_ids = model.eos_token_ids;

  const JsonObject root(document, origin);
  const std::int64_t last = model.text.vocab_size - 1;
  if (root.has("bos_token_id")) bos = root.integer("bos_token_id", 0, last);
  if (root.has("pad_token_id")) pad = root.integer("pad_token_id", 0, last);
  if (root.has("eos_token_id")) {
    if (document["eos_token_id"].is_array())
      config.eos_token_ids = root.integers("eos_token_id", 0, last);
    else
      config.eos_token_ids = {root.integer("eos_token_id", 0, last)};
  }
  if (root.has("do_sample")) config.do_sample = root.boolean("do_sample");
  if (root.has("top_k")) config.top_k = root.integer("top_k", 0, 1 << 24);
  if (root.has("top_p")) config.top_p = root.number("top_p", 0, 1);
  if (root.has("temperature")) config.temperature = root.number("temperature", 0, 100);
  if (root.has("repetition_penalty")) config.repetition_penalty = root.number("repetition_penalty", 0.01, 100);
  if (config.eos_token_ids.empty())
    throw Error(
        ErrorKind::bad_input,
        fmt::format("{}: eos_token_id is missing, here and in config.json; no client would know where an answer ends",
                    origin));
  config.bos_token_id = bos.value_or(config.eos_token_ids.back());
  config.pad_token_id = pad.value_or(config.eos_token_ids.back());
  return config;
}

GenerationConfig read_generation_config(const std::filesystem::path& checkpoint, const ModelConfig& model) {
  const auto path = checkpoint / kGenerationConfigFile;
  const Json document = path_exists(path) ? read_json_file(path) : Json::object();
  ModelConfig known = model;
  if (known.eos_token_ids.empty() && !JsonObject(document, path.string()).has("eos_token_id"))
    if (const auto end = named_end(checkpoint, model.text.vocab_size - 1)) known.eos_token_ids = {*end};
  return parse_generation_config(document, path.string(), known);
}

}  // namespace q3vl
