// Chat templates that are made to loop, to fill memory or to crash what renders them: each ends in a sentence, soon,
// and in a process of its own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <string>
#include <thread>
#include <vector>

#include "base/parallel.h"
#include "chat/chat_template.h"
#include "chat/render_process.h"
#include "support/refusal.h"

namespace q3vl::hostile_template_test {
namespace {

const OrderedJson kHi = OrderedJson::parse(R"([{"role": "user", "content": "Hi"}])");

const std::string kSteps = "it takes more than 100000000 steps; a loop or a macro in it may have no end";
const std::string kMemory = "it takes more than 64 MB of memory";
const std::string kNesting =
    "it is nested too deeply, for more than 32 MB of stack; a macro may call itself, or a list hold itself";
const std::string kDivision = "it divides a whole number by zero, or the least one by -1";

std::string times(int count, const std::string& text) {
  std::string all;
  for (int i = 0; i < count; ++i) all += text;
  return all;
}

/// A template, and what is said of it: the whole sentence behind the file's name, or its beginning, with "…".
struct Row {
  std::string text;
  std::string sentence;
};

/// The processor time that ended children of this process have taken, in seconds.
double children_seconds() {
  rusage usage{};
  getrusage(RUSAGE_CHILDREN, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

void expect_refused(const std::string& stage, const std::vector<Row>& rows) {
  for (const auto& [text, sentence] : rows) {
    const std::string shown = text.substr(0, 100);
    const double before = children_seconds();
    const std::string found =
        refusal(ErrorKind::bad_input, [&] { ChatTemplate(text, "t").render(kHi, {.add_generation_prompt = true}); });
    EXPECT_LT(children_seconds() - before, 2) << shown;
    const std::string whole = "t: the chat template cannot be " + stage + ": " + sentence;
    if (whole.ends_with("…"))
      EXPECT_THAT(found, testing::StartsWith(whole.substr(0, whole.size() - std::string("…").size()))) << shown;
    else
      EXPECT_EQ(found, whole) << shown;
    EXPECT_LT(found.size(), 600U) << shown;
  }
}

TEST(HostileTemplate, DivisionsThatTheProcessorCannotDo) {
  expect_refused("rendered", {
                                 {"{{ 1 // 0 }}", kDivision},
                                 {"{{ 1 % 0 }}", kDivision},
                                 {"{{ 1 / 0 }}", kDivision},
                                 {"{{ (messages | length) // (messages | length - 1) }}", kDivision},
                                 {"{{ (-9223372036854775807 - 1) // -1 }}", kDivision},
                                 {"{{ (-9223372036854775807 - 1) % -1 }}", kDivision},
                             });
}

TEST(HostileTemplate, WhatCallsOrHoldsItself) {
  const std::string self_list = "{% set l = [] %}{% set _ = l.append(l) %}";
  const std::string self_namespace = "{% set n = namespace() %}{% set n.a = n %}";
  expect_refused(
      "rendered",
      {
          {"{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}", kNesting},
          {"{% macro f(x) %}{{ f(x) }}{{ f(x) }}{% endmacro %}{{ f(1) }}", kNesting},
          {"{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}{{ f() }}{% endmacro %}{{ f() }}", kNesting},
          {"{% macro f(x=f()) %}{% endmacro %}{{ f() }}", kNesting},
          {"{% macro f(x) %}{{ [1] | map('f') | list }}{% endmacro %}{{ f(1) }}", kNesting},
          {"{% macro f(x) %}{% for i in range(2) %}{{ f(x) }}{% endfor %}{% endmacro %}{{ f(1) }}", kNesting},
          {"{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", kNesting},
          {"{% for x in [[1]] recursive %}{{ loop(x) }}{{ loop([x]) }}{% endfor %}", kNesting},
          {self_namespace + "{{ n }}", kNesting},
          {self_namespace + "{{ n | tojson }}", kNesting},
          {self_namespace + "{% set m = namespace() %}{% set m.a = m %}{{ n == m }}", kNesting},
          {"{% set a = namespace() %}{% set b = namespace(a=a) %}{% set a.b = b %}{{ a }}", kNesting},
          {self_list + "{{ l }}", kNesting},
          {self_list + "{{ l | tojson(indent=2) }}", "it …"},
          {self_list + "{{ [l] | unique }}", kNesting},
          {self_list + "{{ l in l }}", kNesting},
          {"{% set _ = messages.append(messages) %}{{ messages }}", "it …"},
      });
}

TEST(HostileTemplate, WhatIsWrittenTooDeeply) {
  expect_refused("read", {
                             {"{{ " + times(20'000, "(") + "1" + times(20'000, ")") + " }}", kNesting},
                             {"{{ " + times(20'000, "[") + "1" + times(20'000, "]") + " }}", kNesting},
                             {times(20'000, "{"), kNesting},
                             {times(60'000, "{"), kNesting},
                         });
  expect_refused("rendered",
                 {
                     {"{{ messages" + times(10'000, "[0]") + " }}", "it …"},
                     {"{{ x" + times(20'000, ".a") + " }}", "it …"},
                     {times(1'500, "{% for a in [1, 2] %}") + "x" + times(1'500, "{% endfor %}"), kSteps},
                     {"{% set n = namespace(a=[]) %}{% for i in range(100000) %}{% set n.a = [n.a] %}{% endfor %}"
                      "{{ n.a | tojson }}",
                      "it …"},
                     {"{% set n = namespace(a=[]) %}{% for i in range(1000000) %}{% set n.a = {'a': n.a} %}{% endfor %}"
                      "{% set n.a = 1 %}",
                      "it …"},
                 });
}

TEST(HostileTemplate, LoopsWithoutEnd) {
  const std::string long_text = "{% set s = 'a' * 1000000 %}";
  expect_refused("rendered",
                 {
                     {"{{ 'a' * 100000000000 }}", "it …"},
                     {"{{ 'a' * 9223372036854775807 }}", "it …"},
                     {"{{ '' * 100000000000 }}", kSteps},
                     {"{% for a in range(1000) %}{% for b in range(1000) %}{% for c in range(1000) %}"
                      "{% endfor %}{% endfor %}{% endfor %}",
                      kSteps},
                     {"{% for a in range(1000) %}{% for b in range(1000) %}{% for c in range(1000) %}"
                      "aaaaaaaa{% endfor %}{% endfor %}{% endfor %}",
                      kSteps},
                     {times(12, "{% for i in range(9) %}") + "x" + times(12, "{% endfor %}"), kSteps},
                     {"{% set l = [] %}{% for i in range(100000) %}{% set _ = l.insert(0, i) %}{% endfor %}", kSteps},
                     {"{% macro f(x) %}{% if x > 0 %}{{ f(x - 1) }}{{ f(x - 1) }}{% endif %}{% endmacro %}{{ f(40) }}"
                      "{% for i in range(100000) %}{{ f(3) }}{{ [1, 2, 3] | tojson }}{% endfor %}",
                      kSteps},
                     // In calls of the C library, each of which takes long.
                     {long_text + "{% for i in range(100000) %}{% if 'b' in s %}{% endif %}{% endfor %}", kSteps},
                     {long_text + "{{ (('a' * 500000) + 'b') in s }}", kSteps},
                     {long_text + "{{ s.strip('b' * 1000000 + 'a') }}", kSteps},
                     {"{{ ('ab' * 1000000).replace('a', 'xyz') | length }}", kSteps},
                     {"{{ [1] | tojson(indent=100000000) }}", "it …"},
                 });
}

TEST(HostileTemplate, WhatFillsMemory) {
  expect_refused(
      "rendered",
      {
          {"{{ 'a'.split('') }}", kMemory},
          {"{{ ''.split('') }}", kMemory},
          {"{{ range(100000000) | length }}", kMemory},
          {"{% for i in range(9223372036854775807) %}{% endfor %}", kMemory},
          {"{{ range(10, 0, 0) }}", kMemory},
          {"{{ range(9223372036854775800, 9223372036854775807, 5) }}", kMemory},
          {"{{ range(0, -9223372036854775807, -1) }}", kMemory},
          {"{% set n = namespace(s='a') %}{% for i in range(64) %}{% set n.s = n.s + n.s %}{% endfor %}", kMemory},
          {"{% set n = namespace(s=[1]) %}{% for i in range(64) %}{% set n.s = n.s + n.s %}{% endfor %}", kMemory},
          {"{{ 'a\nb' | indent(10000000000) }}", kMemory},
          {"{% set s = 'a' * 1000000 %}{% for i in range(1000000) %}{{ s }}{% endfor %}", kMemory},
          {"{% set s = 'a' * 1000000 %}{% for i in range(9) %}{{ s }}{% endfor %}", "its text has more than 8 MB"},
      });
}

TEST(HostileTemplate, WrongArgumentsAndOddNumbers) {
  const std::string row = " at row 1, column ";
  expect_refused("rendered",
                 {
                     {"{{ [].pop() }}", "pop from empty list" + row + "7"},
                     {"{{ [1].pop(99) }}", "pop index out of range: 99" + row + "8"},
                     {"{{ [1, 2].pop(-5) }}", "pop index out of range: -5" + row + "11"},
                     {"{{ {}.pop('a') }}", "Key not found: 'a'" + row + "7"},
                     {"{{ [1][99999999999] }}", "vector::_M_range_check…"},
                     {"{{ [1][-99] }}", "vector::_M_range_check…"},
                     {"{{ 'abc'[-9223372036854775807:9223372036854775807] }}", "basic_string::substr…"},
                     {"{{ 'abc'[::0] }}", "slice step cannot be zero" + row + "3"},
                     {"{{ [1, 2, 3][9223372036854775807:-9223372036854775807:-1] }}", "vector::_M_range_check…"},
                     {"{{ 'a\nb' | indent(-1) }}", "basic_string::_M_create…"},
                     {"{{ strftime_now('%' * 10000) }}", "Object is not callable: null" + row + "16"},
                     {"{{ raise_exception('no') }}", "no" + row + "19"},
                     {"{{ raise_exception() }}", "key not found" + row + "19"},
                     {"{{ raise_exception([1]) }}", "get<T> not defined for this value type: [1]" + row + "19"},
                     {"{{ raise_exception('é' * 100000) }}", times(60, "é") + "…"},
                     {"{{ '%s%n%99999999d' % (1, 2, 3) }}", "[json.exception.type_error.302]…"},
                     {"{{ '{:>1000000000}'.format('a') }}", "Unknown method: format" + row + "21"},
                     {"{{ 1 | join }}", "object is not iterable: 1" + row + "13"},
                     {"{{ map() }}", "Invalid or unsupported arguments for map" + row + "7"},
                     {"{{ [1] | map('map', 'map', 'map') | list }}", "Value is not an array or object: 1…"},
                     {"{{ [1] | select('select', 'select') | list }}", "object is not iterable: 1" + row + "44"},
                     {"{{ 1 | dictsort }}", "Value is not an object: 1" + row + "17"},
                     {"{% set a, b = 1 %}", "Mismatched number of variables and items…"},
                     {"{% for a, b, c in [[1]] %}{% endfor %}", "Mismatched number of variables and items…"},
                     {"{% set s = 'a' %}{% set s.a = 1 %}", "Namespace 's' is not an object" + row + "18"},
                     {"{{ {[1]: 2} }}", "Unhashable type: {}" + row + "12"},
                     {"{{ [1] < [2] }}", "Cannot compare values: [1] < [2]" + row + "14"},
                     {"{{ none() }}", "Object is not callable: null" + row + "8"},
                     {"{% macro f() %}{% endmacro %}{{ f(1, 2, x=1) }}", "Too many positional arguments…"},
                     {"{% break %}", "break outside of a loop" + row + "1"},
                     {"{% for i in [1] %}{{ loop.cycle() }}{% endfor %}", "cycle() expects at least 1 positional…"},
                     {"{{ '\xff' | tojson }}", "[json.exception.type_error.316] invalid UTF-8 byte…"},
                 });
}

TEST(HostileTemplate, WhatIsNoTemplate) {
  const std::string row = " at row 1, column ";
  expect_refused("read", {
                             {"{{", "Expected value expression" + row + "3"},
                             {"{% if", "Expected value expression" + row + "6"},
                             {times(20'000, "{#"), "Missing end of comment tag" + row + "1"},
                             {"{{ " + times(30'000, "-") + "1 }}", "Failed to parse number: '-'…"},
                             {"{{ '" + times(30'000, "\\"), "Expected value expression" + row + "3"},
                             {"{{ f" + times(20'000, "()") + " }}", "Expected closing expression tag" + row + "7"},
                             {"{{ 1e999999 }}", "[json.exception.out_of_range.406]…"},
                             {"{% endif %}", "Unexpected endif" + row + "1"},
                             {"{% if 1 %}{% else %}{% else %}{% endif %}", "Unterminated if" + row + "1"},
                             {"{% generation %}", "Unterminated generation" + row + "1"},
                             {"{% include '/etc/passwd' %}", "Expected block keyword" + row + "4"},
                         });
}

/// Odd, and no harm done: what they make is defined.
TEST(HostileTemplate, OddOnesThatEnd) {
  for (const auto& [text, made] : std::vector<std::pair<std::string, std::string>>{
           {"{{ 'a' * -1 }}x", "x"},
           {"{{ range(0, 10, 0) | list | length }}", "0"},
           {"{{ 'abc'[::-9223372036854775807] }}", "c"},
           {"{{ 1" + times(20'000, "+1") + " }}", "20001"},
           {times(3'000, "{% if 1 %}") + "x" + times(3'000, "{% endif %}"), "x"},
           {"{% set l = [1] %}{% for x in l %}{% set _ = l.append(x) %}{% endfor %}x", "x"},
           {times(30'000, "{ "), times(30'000, "{ ")},
           {std::string("a\0b", 3), std::string("a\0b", 3)},
       })
    EXPECT_EQ(ChatTemplate(text, "t").render(kHi, {}), made) << text.substr(0, 100);
}

TEST(HostileTemplate, OneConversationFailsAndTheOthersDoNot) {
  const ChatTemplate chat(
      "{% set n = messages | length %}{% if n == 2 %}{{ 1 // 0 }}{% elif n == 3 %}"
      "{{ range(100000000) }}{% elif n == 4 %}{{ raise_exception('four') }}{% endif %}{{ n }}",
      "t");
  std::vector<Conversation> conversations;
  OrderedJson messages = OrderedJson::array();
  for (int i = 0; i < 5; ++i) {
    messages.push_back(kHi[0]);
    conversations.push_back({.messages = messages, .options = {}});
  }
  const std::vector<Rendered> rendered = chat.render_each(conversations);
  ASSERT_EQ(rendered.size(), 5U);
  const std::string failed = "t: the chat template cannot be rendered: ";
  EXPECT_EQ(rendered[0].text, "1");
  EXPECT_EQ(rendered[1].fault, failed + kDivision);
  EXPECT_EQ(rendered[2].fault, failed + kMemory);
  EXPECT_THAT(rendered[3].fault, testing::StartsWith(failed + "four at row 1"));
  EXPECT_EQ(rendered[4].text, "5");
  EXPECT_EQ(rendered[4].fault, "");
}

/// Steps are counted, so one template is refused on every machine, and its neighbour on none.
TEST(HostileTemplate, TheLimitIsTheSameEveryTime) {
  const auto render = [](int count) {
    const std::string text = "{% for i in range(" + std::to_string(count) + ") %}{{ i }}{% endfor %}";
    return render_apart(text, {OrderedJson::object()}).front().kind == Answer::text;
  };
  int most = 1;
  int too_many = 1'000'000;
  ASSERT_TRUE(render(most));
  ASSERT_FALSE(render(too_many));
  while (too_many - most > 1'000) (render((most + too_many) / 2) ? most : too_many) = (most + too_many) / 2;
  for (int again = 0; again < 3; ++again) {
    EXPECT_TRUE(render(most));
    EXPECT_FALSE(render(too_many));
  }
}

TEST(HostileTemplate, LongConversationsAreRendered) {
  OrderedJson messages = kHi;
  messages[0]["content"] = std::string(4'000'000, 'a');
  EXPECT_EQ(ChatTemplate("{% for m in messages %}{{ m.content | trim }}{% endfor %}", "t").render(messages, {}),
            messages[0]["content"]);
}

TEST(HostileTemplate, ASignalEndsTheRendering) {
  const ChatTemplate chat("{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}", "t");
  // They would take some hundred seconds.
  const std::vector<Conversation> conversations(1'000, {.messages = kHi, .options = {}});
  std::thread signal([] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    interrupt_requested = true;
  });
  EXPECT_EQ(refusal(ErrorKind::interrupted, [&] { chat.render_each(conversations); }),
            "interrupted; nothing was left behind");
  signal.join();
  interrupt_requested = false;
}

}  // namespace
}  // namespace q3vl::hostile_template_test
