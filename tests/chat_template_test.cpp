// Chat templates against what Hugging Face's apply_chat_template made of conversations, and against Jinja2 itself where
// a template has more than the model's.
#include "chat/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "chat/template_check.h"
#include "chat/template_source.h"
#include "support/refusal.h"
#include "support/temporary_folder.h"

namespace q3vl::chat_template_test {
namespace {

OrderedJson recorded(const char* name) {
  return OrderedJson::parse(read_bytes(std::filesystem::path(Q3VL_TEST_DATA_DIR) / "tokenizer" / name));
}

const OrderedJson kHi = OrderedJson::parse(R"([{"role": "user", "content": "Hi"}])");

std::string render(const std::string& text, const OrderedJson& messages = kHi, const ChatOptions& options = {}) {
  return ChatTemplate(text, "t").render(messages, options);
}

TEST(ChatTemplate, RendersAsHuggingFace) {
  const OrderedJson chat = recorded("chat.json");
  const ChatTemplate chat_template(chat.at("chat_template").get<std::string>(), "chat.json");
  ASSERT_GE(chat.at("cases").size(), 16U);
  for (const OrderedJson& item : chat.at("cases"))
    EXPECT_EQ(chat_template.render(item.at("messages"),
                                   {.add_generation_prompt = item.at("add_generation_prompt").get<bool>()}),
              item.at("rendered"))
        << item.at("messages");
}

/// Tools, calls of tools, numbered pictures, and constructs that templates of other models have.
TEST(ChatTemplate, RendersAsJinja) {
  const std::string models = recorded("chat.json").at("chat_template").get<std::string>();
  const OrderedJson cases = recorded("chat_jinja.json").at("cases");
  ASSERT_GE(cases.size(), 16U);
  for (const OrderedJson& item : cases) {
    ChatOptions options{.add_generation_prompt = item.value("add_generation_prompt", false)};
    if (item.contains("tools")) options.tools = item.at("tools");
    for (const auto& variable : item.items())
      if (variable.key() == "add_vision_id" || variable.key() == "bos_token")
        options.variables[variable.key()] = variable.value();
    const std::string text = item.value("template", models);
    EXPECT_EQ(render(text, item.at("messages"), options), item.at("rendered")) << item.value("template", "the model's");
  }
}

/// A folder whose three places for a template a test fills as it likes.
class TemplateSources : public testing::Test {
 protected:
  void jinja(const std::string& text) const { write_bytes(folder_ / "chat_template.jinja", text); }
  void json_file(const OrderedJson& value) const {
    write_bytes(folder_ / "chat_template.json", OrderedJson({{"chat_template", value}}).dump());
  }
  void config(const OrderedJson& value) const {
    write_bytes(folder_ / "tokenizer_config.json", OrderedJson({{"chat_template", value}}).dump());
  }
  void clear() const {
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) std::filesystem::remove(entry);
  }
  TemplateSource found() const { return chat_template_of(folder_.path()); }
  std::string refused() const {
    return refusal(ErrorKind::bad_input, [&] { found(); });
  }
  std::string path(const char* file) const { return (folder_ / file).string(); }

  TemporaryFolder folder_;
};

TEST_F(TemplateSources, EachPlaceAlone) {
  EXPECT_EQ(find_chat_template(folder_.path()), std::nullopt);
  EXPECT_EQ(refused(),
            path("tokenizer_config.json") +
                ": has no chat_template, and neither chat_template.jinja nor chat_template.json is beside it");
  write_bytes(folder_ / "tokenizer_config.json", R"({"eos_token": null})");
  EXPECT_EQ(find_chat_template(folder_.path()), std::nullopt);
  config(nullptr);
  EXPECT_EQ(find_chat_template(folder_.path()), std::nullopt);
  config("config");
  EXPECT_EQ(found(), (TemplateSource{"config", "tokenizer_config.json", ""}));
  config(
      OrderedJson::parse(R"([{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "default"}])"));
  EXPECT_EQ(found(), (TemplateSource{"default", "tokenizer_config.json", ""}));
  clear();
  json_file("json");
  EXPECT_EQ(found(), (TemplateSource{"json", "chat_template.json", ""}));
  clear();
  jinja("jinja");
  EXPECT_EQ(found(), (TemplateSource{"jinja", "chat_template.jinja", ""}));
  config(nullptr);
  EXPECT_EQ(found(), (TemplateSource{"jinja", "chat_template.jinja", ""}));
}

TEST_F(TemplateSources, TheFirstWinsAndTheOthersAreNamed) {
  jinja("jinja");
  json_file("json");
  EXPECT_EQ(found(), (TemplateSource{"jinja", "chat_template.jinja",
                                     "chat_template.json has another chat template than chat_template.jinja; "
                                     "chat_template.jinja is taken, as Hugging Face does"}));
  config("config");
  EXPECT_EQ(found().disagreement,
            "chat_template.json and tokenizer_config.json have another chat template than chat_template.jinja; "
            "chat_template.jinja is taken, as Hugging Face does");
  json_file("jinja");
  EXPECT_EQ(
      found().disagreement,
      "tokenizer_config.json has another chat template than chat_template.jinja; chat_template.jinja is taken, as "
      "Hugging Face does");
  config(1);
  EXPECT_THAT(found().disagreement, testing::StartsWith("tokenizer_config.json has another chat template than"));
  config("jinja");
  EXPECT_EQ(found().disagreement, "");
  clear();
  json_file("json");
  config("config");
  EXPECT_EQ(found(), (TemplateSource{"json", "chat_template.json",
                                     "tokenizer_config.json has another chat template than chat_template.json; "
                                     "chat_template.json is taken, as Hugging Face does"}));
}

/// Jinja2 reads line ends as line feeds; Python's text files have no byte order mark where they are read as it is
/// meant.
TEST_F(TemplateSources, LinesEndInLineFeeds) {
  jinja(
      "\xef\xbb\xbf"
      "a\r\nb\rc\n\r\n{{ '\\r' }}");
  config("a\nb\nc\n\n{{ '\\r' }}");
  EXPECT_EQ(found(), (TemplateSource{"a\nb\nc\n\n{{ '\\r' }}", "chat_template.jinja", ""}));
  clear();
  json_file("a\r\nb");
  EXPECT_EQ(found().text, "a\nb");
}

TEST_F(TemplateSources, RefusesWhatIsNone) {
  config(1);
  EXPECT_EQ(refused(), path("tokenizer_config.json") + ": chat_template is 1, expected a string");
  config(OrderedJson::parse(R"([{"name": "tool_use", "template": "tools"}])"));
  EXPECT_EQ(refused(), path("tokenizer_config.json") + ": chat_template lists no template with the name default");
  write_bytes(folder_ / "chat_template.json", "{}");
  EXPECT_EQ(refused(), path("chat_template.json") + ": chat_template is missing");
  jinja("ab\xff");
  EXPECT_EQ(refused(),
            path("chat_template.jinja") + ": the chat template is not UTF-8: byte 2 is 0xff; save it as UTF-8");
  jinja(std::string(65'536, 'a'));
  EXPECT_EQ(found().text.size(), 65'536U);
  jinja(std::string(65'537, 'a'));
  EXPECT_EQ(refused(), path("chat_template.jinja") + ": the chat template has 65537 bytes, expected 65536 at most");
}

TEST_F(TemplateSources, SpecialTokensAreVariables) {
  jinja("{{ eos_token }} {{ bos_token }}");
  write_bytes(folder_ / "tokenizer_config.json",
              R"({"eos_token": "<e>", "bos_token": {"content": "<b>", "lstrip": false}, "pad_token": null})");
  EXPECT_EQ(ChatTemplate::of_folder(folder_.path()).render(kHi, {}), "<e> <b>");
  std::filesystem::remove(folder_ / "tokenizer_config.json");
  EXPECT_THAT(refusal(ErrorKind::bad_input, [&] { ChatTemplate::of_folder(folder_.path()); }),
              testing::StartsWith(path("tokenizer_config.json") + ": "));
}

TEST(ChatTemplate, SaysWhatIsWrong) {
  const auto refused = [](const std::string& text) { return refusal(ErrorKind::bad_input, [&] { render(text); }); };
  const std::string read = "t: the chat template cannot be read: ",
                    rendered = "t: the chat template cannot be rendered: ";
  EXPECT_EQ(refused("a\n{% if x %}"), read + "Unterminated if at row 2, column 1");
  EXPECT_EQ(refused("{{ messages"), read + "Expected closing expression tag at row 1, column 12");
  EXPECT_EQ(refused("{% nonsense %}"), read + "Expected block keyword at row 1, column 4");
  EXPECT_EQ(refused("a\n  {{ raise_exception('System messages first, please.') }}"),
            rendered + "System messages first, please. at row 2, column 21");
  EXPECT_EQ(refused("{% for x in 1 %}{% endfor %}"),
            rendered + "For loop iterable must be iterable: 1 at row 1, column 1");
  EXPECT_EQ(refused("{{ messages | nonsense }}"), rendered + "Value is not callable: null at row 1, column 24");
  // Texts come from users as well.
  OrderedJson messages = kHi;
  messages[0]["content"] = "\xff";
  EXPECT_THAT(refusal(ErrorKind::bad_input, [&] { render("{{ messages | tojson }}", messages); }),
              testing::AllOf(testing::StartsWith(rendered), testing::HasSubstr("invalid UTF-8 byte at index 0: 0xFF")));
  EXPECT_EQ(render("{{ messages[0].content }}", messages), "\xff");
}

/// What minja takes stack for, in the longest template.
TEST(ChatTemplate, TakesLongRuns) {
  const std::size_t length = 65'000;
  EXPECT_EQ(render("{#" + std::string(length, 'a') + "#}b"), "b");
  EXPECT_EQ(render(std::string(length, ' ') + "{{- 'b' }}"), "b");
  EXPECT_EQ(render("{{ 'b' -}}" + std::string(length, '\n')), "b");
  EXPECT_EQ(render("{{ '" + std::string(length, 'a') + "' | length }}"), "65000");
}

std::string models_template() {
  return recorded("chat.json").at("chat_template");
}

/// The model's template with `to` in place of `from`.
std::string changed_template(const std::string& from, const std::string& to) {
  std::string text = models_template();
  EXPECT_NE(text.find(from), std::string::npos) << from;
  for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
  return text;
}

std::vector<std::string> warnings(const std::string& text, bool pictures = true) {
  return check_chat_template(ChatTemplate(text, "t"), pictures);
}

TEST(TemplateCheck, TheModelsTemplateHasNothingToSay) {
  EXPECT_THAT(warnings(models_template()), testing::IsEmpty());
  EXPECT_THAT(warnings(models_template(), false), testing::IsEmpty());
}

TEST(TemplateCheck, WhatNobodyCanUseIsRefused) {
  const auto refused = [](const std::string& text, bool pictures = true) {
    return refusal(ErrorKind::bad_input, [&] { warnings(text, pictures); });
  };
  const std::string behind = "; clients put each picture in the place of one";
  const std::string mark = "<|vision_start|><|image_pad|><|vision_end|>";
  EXPECT_EQ(refused("{% if x"), "t: the chat template cannot be read: Expected closing block tag at row 1, column 8");
  EXPECT_EQ(
      refused("{{ raise_exception('never') }}"),
      "t: the chat template cannot be rendered: never at row 1, column 19; it was given a conversation with a text");
  EXPECT_EQ(refused("{{ messages[0].content }}"), "t: for a conversation with one picture the chat template writes " +
                                                      mark + " 0 times, expected 1" + behind);
  EXPECT_EQ(refused(changed_template("<|image_pad|>", "<|image_pad|><|image_pad|>")),
            "t: for a conversation with one picture the chat template writes " + mark +
                " 0 times and <|image_pad|> 2 times, expected 1 of each" + behind);
  EXPECT_EQ(
      refused(changed_template(mark, mark + mark)),
      "t: for a conversation with one picture the chat template writes " + mark + " 2 times, expected 1" + behind);
  EXPECT_EQ(
      refused("{% if messages[0].content is not string %}" + mark + "{% endif %}"),
      "t: for a conversation with two pictures the chat template writes " + mark + " 1 times, expected 2" + behind);
  EXPECT_EQ(refused(mark),
            "t: for a conversation with a text the chat template writes " + mark + " 1 times, expected 0" + behind);
  EXPECT_EQ(refused("{% if messages[0].content is not string %}{{ raise_exception('text only') }}{% endif %}"),
            "t: the chat template cannot be rendered: text only at row 1, column 61; it was given a conversation with "
            "one picture");
}

TEST(TemplateCheck, WhatFewUseIsAWarning) {
  const std::string sound = models_template();
  EXPECT_THAT(warnings("{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + sound),
              testing::ElementsAre(
                  "t: the chat template cannot be rendered: no system at row 1, column 56; it was given a conversation "
                  "with a system message",
                  "t: the chat template cannot be rendered: no system at row 1, column 56; it was given a conversation "
                  "with a picture and a system message"));
  EXPECT_THAT(
      warnings("{% if tools %}{{ raise_exception('no tools') }}{% endif %}" + sound),
      testing::ElementsAre("t: the chat template cannot be rendered: no tools at row 1, column 33; it was given "
                           "a conversation with tools"));
  EXPECT_THAT(
      warnings(changed_template("<|video_pad|>", "")),
      testing::ElementsAre("t: for a conversation with a video the chat template writes "
                           "<|vision_start|><|video_pad|><|vision_end|> 0 times, expected 1; no client can put a "
                           "video there"));
  EXPECT_THAT(warnings("{{ messages[0].content }}", false), testing::IsEmpty());
}

}  // namespace
}  // namespace q3vl::chat_template_test
