// Conversations as the text that a model was trained on, by the chat template of a checkpoint: a Jinja template,
// rendered as by Hugging Face's apply_chat_template. docs/TOKENIZER.md has what is supported.
//
//   const ChatTemplate chat = ChatTemplate::of_folder(package);
//   chat.render({{{"role", "user"}, {"content", "Hi"}}}, {.add_generation_prompt = true});
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "base/json.h"

namespace minja {
class TemplateNode;
}

namespace q3vl {

/// What a rendering has beside the messages.
struct ChatOptions {
  bool add_generation_prompt = false;             ///< the beginning of the assistant's answer goes at the end
  OrderedJson tools = nullptr;                    ///< descriptions of functions, or null
  OrderedJson variables = OrderedJson::object();  ///< more for the template, by their names
};

/// Calls of const functions may come from several threads.
class ChatTemplate {
 public:
  /// Parses a template. `origin` (its path) opens the messages; `variables` are there in every rendering: special
  /// tokens. Throws Error(bad_input) for what is no template, and for more than 16 kB.
  ChatTemplate(const std::string& text, std::string origin, OrderedJson variables = OrderedJson::object());

  /// The template of a checkpoint or a package, from the first of these: chat_template.jinja, chat_template.json and
  /// tokenizer_config.json, where it is a string or a list of templates with names, of which "default" is taken.
  /// Special tokens of tokenizer_config.json (bos_token, eos_token …) are its variables. Source: from_pretrained() of
  /// ProcessorMixin and PreTrainedTokenizerBase in transformers 5. Throws Error(bad_input), also when there is none.
  static ChatTemplate of_folder(const std::filesystem::path& folder);

  /// The text of `messages`: an array of objects with "role" and "content", which is a string or an array of parts such
  /// as
  /// {"type": "image"} and {"type": "text", "text": "…"}. Keys of objects keep their order where a template writes them
  /// as JSON. Throws Error(bad_input) when the template fails, or refuses the messages (raise_exception).
  std::string render(const OrderedJson& messages, const ChatOptions& options) const;

 private:
  std::string origin_;
  OrderedJson variables_;
  std::shared_ptr<const minja::TemplateNode> root_;
};

}  // namespace q3vl
