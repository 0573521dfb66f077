// A chat template, as it is: text for whoever renders it. What it does to the renderer, a process of its own, stays
// there: here it becomes texts and sentences, within the limits.
#include "chat/chat_template.h"
#include "chat/render_protocol.h"
#include "chat/template_check.h"
#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using q3vl::fuzz::accepts;
  using q3vl::fuzz::expect;
  static const q3vl::OrderedJson messages = q3vl::OrderedJson::parse(
      R"([{"role": "system", "content": "S"},
          {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Grüße\n\u0000"}]},
          {"role": "assistant", "content": "A", "tool_calls": [{"name": "f", "arguments": {"x": [1, 2.5, null]}}]}])");
  const q3vl::ChatTemplate chat(q3vl::fuzz::text(data, size), "input", {{"bos_token", "<b>"}});
  accepts([&] {
    const std::vector<q3vl::Rendered> rendered = chat.render_each(
        {{.messages = messages, .options = {.add_generation_prompt = true}},
         {.messages = q3vl::OrderedJson::array({messages[0]}), .options = {.tools = q3vl::OrderedJson::array({"t"})}}});
    expect(rendered.size() == 2, "each conversation has an answer");
    for (const auto& [text, fault] : rendered) {
      expect(text.empty() || fault.empty(), "a text or a fault");
      expect(text.size() <= q3vl::kMaxRenderedBytes, "texts are limited");
      expect(fault.size() < 600, "a fault is a sentence");
    }
  });
  accepts([&] { check_chat_template(chat, /*pictures=*/true); });
  return 0;
}
