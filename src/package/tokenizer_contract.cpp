#include "package/tokenizer_contract.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "chat/template_source.h"
#include "contract/file_names.h"
#include "contract/special_tokens.h"
#include "package/genai/genai_config.h"

namespace q3vl {
namespace {

/// A name that no file can have is one of a file that is not there.
bool is_file(const std::filesystem::path& path) {
  std::error_code error;
  return std::filesystem::is_regular_file(path, error);
}

/// A message of `error` that opens with a file's name instead of its path.
std::string relative_message(const Error& error, const std::filesystem::path& folder) {
  return std::string(error.what()).substr((folder / "").string().size());
}

/// The document, or nothing and a finding. The file must be an object.
std::optional<Json> read_object(const std::filesystem::path& folder, const char* name, Findings& findings) {
  if (!is_file(folder / name)) {
    findings.add(name, "is missing");
    return std::nullopt;
  }
  try {
    Json document = read_json_file(folder / name, kTokenizerJson);
    if (document.is_object()) return document;
    findings.add(name, fmt::format("is {}, expected an object", describe(document)));
  } catch (const Error& error) {
    findings.add(relative_message(error, folder));
  }
  return std::nullopt;
}

std::map<std::string, std::int64_t> special_tokens(const Json& tokenizer) {
  std::map<std::string, std::int64_t> ids;
  if (!tokenizer.contains("added_tokens") || !tokenizer["added_tokens"].is_array()) return ids;
  for (const Json& token : tokenizer["added_tokens"]) {
    const bool well_formed = token.is_object() && token.contains("content") && token["content"].is_string() &&
                             token.contains("id") && token["id"].is_number_integer();
    if (well_formed) ids[token["content"].get<std::string>()] = token["id"].get<std::int64_t>();
  }
  return ids;
}

class TokenIds {
 public:
  TokenIds(const Json& model, std::map<std::string, std::int64_t> ids, Findings& findings)
      : model_(&model), ids_(std::move(ids)), findings_(&findings) {}

  /// The token must exist, and its id must be what the model has under `key`, or among it; the key may be left out.
  void expect(const std::string& token, const char* key) const {
    const auto id = find(token);
    if (!id || !model_->contains(key)) return;
    const std::vector<std::int64_t> told = values(key);
    if (std::find(told.begin(), told.end(), *id) != told.end()) return;
    findings_->add(kGenaiConfigFile, fmt::format("model.{} is {}, but {} is {} in {}", key, (*model_)[key].dump(),
                                                 token, *id, kTokenizerFile));
  }

  /// The id of a token that must exist.
  std::optional<std::int64_t> find(const std::string& token) const {
    const auto found = ids_.find(token);
    if (found != ids_.end()) return found->second;
    findings_->add(kTokenizerFile, fmt::format("has no added token {}", token));
    return std::nullopt;
  }

 private:
  std::vector<std::int64_t> values(const char* key) const {
    const Json& value = (*model_)[key];
    if (value.is_array()) return value.get<std::vector<std::int64_t>>();
    return {value.get<std::int64_t>()};
  }

  const Json* model_;
  std::map<std::string, std::int64_t> ids_;
  Findings* findings_;
};

void check_template_files(const std::filesystem::path& folder, Findings& findings) {
  std::optional<TemplateSource> source;
  std::error_code error;
  try {
    if (std::filesystem::is_directory(folder, error)) source = find_chat_template(folder);
  } catch (const Error& fault) {
    findings.add(relative_message(fault, folder));
    return;
  }
  if (!source)
    findings.add(
        kTokenizerConfigFile,
        "has no chat_template, and neither has chat_template.jinja nor chat_template.json; expected it in one");
  else if (!source->disagreement.empty())
    findings.add(source->disagreement);
}

}  // namespace

void check_special_tokens(const Json& tokenizer, const Json& model, Findings& findings) {
  const TokenIds ids(model, special_tokens(tokenizer), findings);
  if (model.contains("vision")) {
    ids.expect(std::string(kImagePad), "image_token_id");
    ids.expect(std::string(kVideoPad), "video_token_id");
    ids.expect(std::string(kVisionStart), "vision_start_token_id");
    ids.find(std::string(kVisionEnd));  // the processor looks for it by its name alone
  }
}

void check_tokenizer(const std::filesystem::path& folder, const Json& model, Findings& findings) {
  const std::optional<Json> tokenizer = read_object(folder, kTokenizerFile, findings);
  const std::optional<Json> config = read_object(folder, kTokenizerConfigFile, findings);
  if (tokenizer) check_special_tokens(*tokenizer, model, findings);
  // One that is there and cannot be read is a finding already.
  if (config || !is_file(folder / kTokenizerConfigFile)) check_template_files(folder, findings);
}

}  // namespace q3vl
