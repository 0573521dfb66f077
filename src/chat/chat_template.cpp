#include "chat/chat_template.h"

#include <fmt/format.h>

#include <array>
#include <minja/minja.hpp>
#include <new>
#include <utility>

#include "base/file.h"

namespace q3vl {
namespace {

// minja matches comments and white space by std::regex, which takes some 250 bytes of stack for each character.
// Templates of this family have 4 to 8 kB.
constexpr std::size_t kMaxTemplateBytes = 16U << 10;

/// The variables that transformers makes of a tokenizer's special tokens.
constexpr std::array kSpecialTokens = {"bos_token", "eos_token", "unk_token", "sep_token",
                                       "pad_token", "cls_token", "mask_token"};

/// Throws Error(bad_input) with what minja says of a fault: the reason and the innermost place, without the excerpts of
/// the template and the places around it.
[[noreturn]] void refuse_template(const std::string& origin, std::string_view what, const std::exception& error) {
  const std::string reason = error.what();
  std::string line = reason.substr(0, reason.find('\n'));
  if (line.ends_with(':')) line.pop_back();
  throw Error(ErrorKind::bad_input, fmt::format("{}: {}: {}", origin, what, line));
}

/// "default" of a list of {"name": …, "template": …}.
std::string default_template(const Json& list, const std::string& origin) {
  for (const Json& item : list) {
    const JsonObject named(item, origin, "chat_template");
    if (named.string("name") == "default") return named.string("template");
  }
  throw Error(ErrorKind::bad_input, fmt::format("{}: chat_template lists no template with the name default", origin));
}

/// "eos_token": "<|im_end|>", or {"content": "<|im_end|>", …}; what is null or missing has no variable.
OrderedJson special_token_variables(const JsonObject& config) {
  OrderedJson variables = OrderedJson::object();
  for (const char* name : kSpecialTokens) {
    if (!config.has(name)) continue;
    const bool object = config.json().at(name).is_object();
    variables.emplace(name, object ? config.object(name).string("content") : config.string(name));
  }
  return variables;
}

}  // namespace

ChatTemplate::ChatTemplate(const std::string& text, std::string origin, OrderedJson variables)
    : origin_(std::move(origin)), variables_(std::move(variables)) {
  if (text.size() > kMaxTemplateBytes)
    throw Error(ErrorKind::bad_input, fmt::format("{}: the chat template has {} bytes, expected {} at most", origin_,
                                                  text.size(), kMaxTemplateBytes));
  try {
    // As transformers sets up Jinja.
    root_ = minja::Parser::parse(text, {.trim_blocks = true, .lstrip_blocks = true, .keep_trailing_newline = false});
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    refuse_template(origin_, "the chat template cannot be read", error);
  }
}

ChatTemplate ChatTemplate::of_folder(const std::filesystem::path& folder) {
  const std::filesystem::path config_path = folder / "tokenizer_config.json";
  const Json config = read_json_file(config_path, kTokenizerJson);
  const JsonObject root(config, config_path.string());
  OrderedJson variables = special_token_variables(root);
  if (const auto path = folder / "chat_template.jinja"; path_exists(path))
    return {read_text_file(path, kConfigJson.bytes), path.string(), std::move(variables)};
  if (const auto path = folder / "chat_template.json"; path_exists(path)) {
    const Json document = read_json_file(path);
    return {JsonObject(document, path.string()).string("chat_template"), path.string(), std::move(variables)};
  }
  if (!root.has("chat_template"))
    root.fail("has no chat_template, and neither chat_template.jinja nor chat_template.json is beside it");
  const Json& text = config.at("chat_template");
  return {text.is_array() ? default_template(text, root.origin()) : root.string("chat_template"), root.origin(),
          std::move(variables)};
}

std::string ChatTemplate::render(const OrderedJson& messages, const ChatOptions& options) const {
  OrderedJson values = variables_;
  values["messages"] = messages;
  values["tools"] = options.tools;
  values["documents"] = nullptr;
  values["add_generation_prompt"] = options.add_generation_prompt;
  for (const auto& item : options.variables.items()) values[item.key()] = item.value();
  try {
    return root_->render(minja::Context::make(minja::Value(values)));
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception& error) {
    refuse_template(origin_, "the chat template cannot be rendered", error);
  }
}

}  // namespace q3vl
