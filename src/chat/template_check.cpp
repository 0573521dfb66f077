#include "chat/template_check.h"

#include <fmt/format.h>

#include <cstdint>
#include <string_view>

#include "chat/picture_marks.h"

namespace q3vl {
namespace {

struct Trial {
  const char* with;  ///< what the conversation has
  bool required;     ///< no client can do without it
  std::int64_t images;
  std::int64_t videos;
  Conversation conversation;
};

OrderedJson message(const char* role, OrderedJson content) {
  return {{"role", role}, {"content", std::move(content)}};
}

OrderedJson question_about(std::initializer_list<const char*> kinds) {
  OrderedJson parts = OrderedJson::array();
  for (const char* kind : kinds) parts.push_back({{"type", kind}});
  parts.push_back({{"type", "text"}, {"text", "What is this?"}});
  return message("user", std::move(parts));
}

std::vector<Trial> trials(bool pictures, bool tools) {
  const OrderedJson text = message("user", "What is this?");
  const OrderedJson system = message("system", "Be brief.");
  const OrderedJson tool = {
      {"type", "function"},
      {"function",
       {{"name", "look_up"},
        {"description", "Looks a word up."},
        {"parameters",
         {{"type", "object"}, {"properties", {{"word", {{"type", "string"}}}}}, {"required", {"word"}}}}}}};
  std::vector<Trial> list;
  const auto add = [&](const char* with, bool required, std::int64_t images, std::int64_t videos,
                       std::vector<OrderedJson> messages, OrderedJson tool_list = nullptr) {
    list.push_back(
        {with,
         required,
         images,
         videos,
         {.messages = std::move(messages), .options = {.add_generation_prompt = true, .tools = std::move(tool_list)}}});
  };
  add("a text", true, 0, 0, {text});
  add("a system message", false, 0, 0, {system, text});
  if (tools) add("tools", false, 0, 0, {text}, OrderedJson::array({tool}));
  if (!pictures) return list;
  add("one picture", true, 1, 0, {question_about({"image"})});
  add("two pictures", true, 2, 0, {question_about({"image", "image"})});
  add("a picture and a system message", false, 1, 0, {system, question_about({"image"})});
  add("a video", false, 0, 1, {question_about({"video"})});
  return list;
}

/// What is wrong with the marks of a conversation with `expected` pictures or clips; empty where nothing is.
std::string wrong_marks(std::string_view text, std::string_view mark, std::string_view pad, std::int64_t expected) {
  const std::int64_t marks = count_of(text, mark);
  const std::int64_t pads = count_of(text, pad);
  if (marks == expected && pads == expected) return "";
  return pads == marks
             ? fmt::format("{} {} times, expected {}", mark, marks, expected)
             : fmt::format("{} {} times and {} {} times, expected {} of each", mark, marks, pad, pads, expected);
}

}  // namespace

std::vector<std::string> check_chat_template(const ChatTemplate& chat, bool pictures) {
  const std::vector<Trial> all = trials(pictures, chat.text().find("tools") != std::string::npos);
  std::vector<Conversation> conversations;
  for (const Trial& trial : all) conversations.push_back(trial.conversation);
  const std::vector<Rendered> rendered = chat.render_each(conversations);
  std::vector<std::string> warnings;
  for (std::size_t i = 0; i < all.size(); ++i) {
    const Trial& trial = all[i];
    const auto& [text, fault] = rendered[i];
    if (!fault.empty()) {
      std::string sentence = fmt::format("{}; it was given a conversation with {}", fault, trial.with);
      if (trial.required) throw Error(ErrorKind::bad_input, sentence);
      warnings.push_back(std::move(sentence));
      continue;
    }
    if (!pictures) continue;
    if (const std::string wrong = wrong_marks(text, kImageMark, kImagePad, trial.images); !wrong.empty())
      throw Error(ErrorKind::bad_input,
                  fmt::format("{}: for a conversation with {} the chat template writes {}; clients put each picture in "
                              "the place of one",
                              chat.origin(), trial.with, wrong));
    if (const std::string wrong = wrong_marks(text, kVideoMark, kVideoPad, trial.videos); !wrong.empty())
      warnings.push_back(
          fmt::format("{}: for a conversation with {} the chat template writes {}; no client can put a video there",
                      chat.origin(), trial.with, wrong));
  }
  return warnings;
}

}  // namespace q3vl
