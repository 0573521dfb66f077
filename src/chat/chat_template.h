// Conversations as the text that a model was trained on, by the chat template of a checkpoint: a Jinja template,
// rendered as by Hugging Face's apply_chat_template. docs/TOKENIZER.md has what is supported.
//
//   const ChatTemplate chat = ChatTemplate::of_folder(package);
//   chat.render({{{"role", "user"}, {"content", "Hi"}}}, {.add_generation_prompt = true});
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/json.h"

namespace q3vl {

/// What a rendering has beside the messages.
struct ChatOptions {
  bool add_generation_prompt = false;             ///< the beginning of the assistant's answer goes at the end
  OrderedJson tools = nullptr;                    ///< descriptions of functions, or null
  OrderedJson variables = OrderedJson::object();  ///< more for the template, by their names
};

/// `messages`: an array of objects with "role" and "content", which is a string or an array of parts such as
/// {"type": "image"} and {"type": "text", "text": "…"}. Keys of objects keep their order where a template writes them
/// as JSON.
struct Conversation {
  OrderedJson messages;
  ChatOptions options;
};

/// What a conversation became.
struct Rendered {
  std::string text;
  std::string fault;  ///< why there is no text, in a sentence that names the template's file; otherwise empty
};

/// Calls of const functions may come from several threads.
class ChatTemplate {
 public:
  /// `origin` (the template's path) opens the messages; `variables` are there in every rendering: special tokens.
  /// Nothing is read or run yet.
  ChatTemplate(std::string text, std::string origin, OrderedJson variables = OrderedJson::object());

  /// The template of a checkpoint or a package (chat/template_source.h). Special tokens of tokenizer_config.json
  /// (bos_token, eos_token …) are its variables. Throws Error(bad_input), also when there is none.
  static ChatTemplate of_folder(const std::filesystem::path& folder);

  const std::string& text() const { return text_; }
  const std::string& origin() const { return origin_; }

  /// Throws Error(bad_input) for what is no template, for one that fails, takes too much or refuses the messages
  /// (raise_exception), and Error(interrupted).
  std::string render(const OrderedJson& messages, const ChatOptions& options) const;

  /// All of `conversations`, each by itself. Throws Error(bad_input) for what is no template, and Error(interrupted).
  std::vector<Rendered> render_each(const std::vector<Conversation>& conversations) const;

 private:
  std::string text_;
  std::string origin_;
  OrderedJson variables_;
};

}  // namespace q3vl
