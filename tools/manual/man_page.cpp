#include <fmt/format.h>

#include <sstream>

#include "manual/help.h"
#include "qwen3vl_export/export.h"

namespace q3vl {
namespace {

/// Plain text as roff: no character of it is a request, and a hyphen is the one that can be typed.
std::string roff(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '\\')
      result += "\\e";
    else if (c == '-')
      result += "\\-";
    else if ((c == '.' || c == '\'') && (result.empty() || result.back() == '\n'))
      result += std::string("\\&") + c;
    else
      result += c;
  }
  return result;
}

std::string entries(const std::vector<HelpEntry>& list) {
  std::string text;
  for (const HelpEntry& entry : list) {
    text += ".TP\n";
    for (const std::string& name : entry.names)
      text += fmt::format("{}\\fB{}\\fR", &name == &entry.names.front() ? "" : ", ", roff(name));
    if (!entry.value.empty()) text += fmt::format(" \\fI{}\\fR", roff(entry.value));
    text += fmt::format("\n{}", roff(entry.description));
    if (!entry.preset.empty()) text += fmt::format("; {} unless given", roff(entry.preset));
    if (entry.required && entry.names.front().starts_with('-')) text += "; must be given";
    text += ".\n";
  }
  return text;
}

/// Lines that are indented keep their places.
std::string paragraphs(const std::string& text) {
  std::string result;
  bool table = false;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const bool indented = line.starts_with("  ");
    if (indented != table) result += indented ? ".nf\n" : ".fi\n";
    table = indented;
    result += roff(line) + '\n';
  }
  return result + (table ? ".fi\n" : "");
}

std::string section(const Help& help) {
  return fmt::format(".SS {}\n.B {}\n.PP\n{}{}{}", roff(help.command), roff(help.usage), paragraphs(help.description),
                     entries(help.arguments), entries(help.options));
}

std::string synopsis(const std::vector<Help>& commands) {
  std::string text;
  for (const Help& help : commands) text += fmt::format("{}.B {}\n", text.empty() ? "" : ".br\n", roff(help.usage));
  return text;
}

std::string recipes() {
  std::string text;
  for (const auto& [name, description] : builtin_recipes())
    text += fmt::format(".TP\n.B {}\n{}.\n", roff(name), roff(description));
  return text;
}

}  // namespace

std::string man_page(const std::vector<Help>& commands, const std::string& frame) {
  std::string page;
  std::istringstream lines(frame);
  for (std::string line; std::getline(lines, line);) {
    if (line == "@SYNOPSIS@") {
      page += synopsis(commands);
    } else if (line == "@OPTIONS@") {
      page += entries(commands.front().arguments) + entries(commands.front().options);
    } else if (line == "@COMMANDS@") {
      for (const Help& help : commands)
        if (!help.command.empty()) page += section(help);
    } else if (line == "@RECIPES@") {
      page += recipes();
    } else if (line.starts_with(".TH ")) {
      page += fmt::format("{} \"\" \"qwen3vl\\-export {}\"\n", line, versions().front().second);
    } else {
      page += line + '\n';
    }
  }
  return page;
}

}  // namespace q3vl
