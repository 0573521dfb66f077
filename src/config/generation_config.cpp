#include "config/generation_config.h"

#include <fmt/format.h>

#include "base/file.h"
#include "contract/file_names.h"

namespace q3vl {

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
  return parse_generation_config(path_exists(path) ? read_json_file(path) : Json::object(), path.string(), model);
}

}  // namespace q3vl
