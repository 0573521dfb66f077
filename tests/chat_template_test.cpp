// Chat templates against what Hugging Face's apply_chat_template made of conversations, and against Jinja2 itself where
// a template has more than the model's.
#include "chat/chat_template.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

TEST(ChatTemplate, PrefersTheFilesThatHuggingFacePrefers) {
  const TemporaryFolder folder;
  const auto found = [&] { return ChatTemplate::of_folder(folder.path()).render(kHi, {}); };
  const std::string config = (folder / "tokenizer_config.json").string();
  write_bytes(config, R"({"eos_token": null})");
  EXPECT_EQ(refusal(ErrorKind::bad_input, found),
            config + ": has no chat_template, and neither chat_template.jinja nor chat_template.json is beside it");
  write_bytes(config, R"({"chat_template": "config {{ eos_token }} {{ bos_token }}",
                          "eos_token": "<e>", "bos_token": {"content": "<b>", "lstrip": false}})");
  EXPECT_EQ(found(), "config <e> <b>");
  write_bytes(config, R"({"chat_template": [{"name": "tool_use", "template": "tools"},
                                            {"name": "default", "template": "default"}]})");
  EXPECT_EQ(found(), "default");
  write_bytes(config, R"({"chat_template": [{"name": "tool_use", "template": "tools"}]})");
  EXPECT_EQ(refusal(ErrorKind::bad_input, found), config + ": chat_template lists no template with the name default");
  write_bytes(config, R"({"chat_template": 1})");
  EXPECT_EQ(refusal(ErrorKind::bad_input, found), config + ": chat_template is 1, expected a string");
  write_bytes(folder / "chat_template.json", R"({"chat_template": "json"})");
  EXPECT_EQ(found(), "json");
  write_bytes(folder / "chat_template.jinja", "jinja");
  EXPECT_EQ(found(), "jinja");
  std::filesystem::remove(config);
  EXPECT_THAT(refusal(ErrorKind::bad_input, found), testing::StartsWith(config + ": "));
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
  EXPECT_EQ(refused(std::string(20'000, 'a')), "t: the chat template has 20000 bytes, expected 16384 at most");
  // Texts come from users as well.
  OrderedJson messages = kHi;
  messages[0]["content"] = "\xff";
  EXPECT_THAT(refusal(ErrorKind::bad_input, [&] { render("{{ messages | tojson }}", messages); }),
              testing::AllOf(testing::StartsWith(rendered), testing::HasSubstr("invalid UTF-8 byte at index 0: 0xFF")));
  EXPECT_EQ(render("{{ messages[0].content }}", messages), "\xff");
}

/// What minja takes stack for.
TEST(ChatTemplate, TakesLongRuns) {
  const std::size_t length = 4'000;
  EXPECT_EQ(render("{#" + std::string(length, 'a') + "#}b"), "b");
  EXPECT_EQ(render(std::string(length, ' ') + "{{- 'b' }}"), "b");
  EXPECT_EQ(render("{{ 'b' -}}" + std::string(length, '\n')), "b");
  EXPECT_EQ(render("{{ '" + std::string(length, 'a') + "' | length }}"), "4000");
}

}  // namespace
}  // namespace q3vl::chat_template_test
