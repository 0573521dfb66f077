#include "chat/chat_template.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "chat/render_process.h"
#include "chat/template_source.h"

namespace q3vl {
namespace {

/// The variables that transformers makes of a tokenizer's special tokens.
constexpr std::array kSpecialTokens = {"bos_token", "eos_token", "unk_token", "sep_token",
                                       "pad_token", "cls_token", "mask_token"};

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

ChatTemplate::ChatTemplate(std::string text, std::string origin, OrderedJson variables)
    : text_(std::move(text)), origin_(std::move(origin)), variables_(std::move(variables)) {}

ChatTemplate ChatTemplate::of_folder(const std::filesystem::path& folder) {
  const std::filesystem::path config_path = folder / kTemplateConfigFile;
  const Json config = read_json_file(config_path, kTokenizerJson);
  OrderedJson variables = special_token_variables(JsonObject(config, config_path.string()));
  TemplateSource source = chat_template_of(folder);
  return {std::move(source.text), (folder / source.file).string(), std::move(variables)};
}

std::vector<Rendered> ChatTemplate::render_each(const std::vector<Conversation>& conversations) const {
  std::vector<OrderedJson> variables;
  for (const auto& [messages, options] : conversations) {
    OrderedJson& values = variables.emplace_back(variables_);
    values["messages"] = messages;
    values["tools"] = options.tools;
    values["documents"] = nullptr;
    values["add_generation_prompt"] = options.add_generation_prompt;
    for (const auto& item : options.variables.items()) values[item.key()] = item.value();
  }
  std::vector<Rendered> rendered;
  for (RenderAnswer& answer : render_apart(text_, variables)) {
    if (answer.kind == Answer::unreadable)
      throw Error(ErrorKind::bad_input, fmt::format("{}: the chat template cannot be read: {}", origin_, answer.text));
    if (answer.kind == Answer::text)
      rendered.push_back({.text = std::move(answer.text), .fault = ""});
    else
      rendered.push_back(
          {.text = "", .fault = fmt::format("{}: the chat template cannot be rendered: {}", origin_, answer.text)});
  }
  return rendered;
}

std::string ChatTemplate::render(const OrderedJson& messages, const ChatOptions& options) const {
  Rendered rendered = std::move(render_each({{messages, options}}).front());
  if (!rendered.fault.empty()) throw Error(ErrorKind::bad_input, rendered.fault);
  return std::move(rendered.text);
}

}  // namespace q3vl
