#include "manual/help.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iostream>
#include <sstream>
#include <stdexcept>

#include "commands/program.h"
#include "qwen3vl_export/export.h"

namespace q3vl {
namespace {

constexpr std::size_t kColumn = 30;  // where descriptions begin (commands/command.cpp)

/// What the program prints; it runs in here.
std::string printed(std::vector<std::string> arguments) {
  std::vector<char*> pointers;
  pointers.reserve(arguments.size());
  for (std::string& argument : arguments) pointers.push_back(argument.data());
  const std::ostringstream text;
  std::streambuf* const before = std::cout.rdbuf(text.rdbuf());
  const int code = run_program(static_cast<int>(pointers.size()), pointers.data());
  std::cout.rdbuf(before);
  if (code != 0) throw std::runtime_error(fmt::format("{} ends with {}", fmt::join(arguments, " "), code));
  return text.str();
}

/// Takes `mark` off the end of `text`, and all behind it. Returns whether it was there.
bool take(std::string& text, const std::string& mark) {
  const auto at = text.find(mark);
  if (at == std::string::npos) return false;
  text.resize(at);
  return true;
}

/// "-o,--output DIR", "--recipe NAME|FILE=int4", "--prompts LIST:POSITIVE=[512] ...", "package PACKAGE REQUIRED".
HelpEntry entry_of(std::string text) {
  HelpEntry entry;
  take(text, " Excludes:");
  take(text, " Needs:");
  entry.repeated = take(text, " ...");
  entry.required = take(text, " REQUIRED");
  std::istringstream words(text);
  std::string names;
  words >> names >> entry.value;
  std::string rest;
  if (words >> rest) throw std::runtime_error(fmt::format("\"{}\": what \"{}\" means is not known", text, rest));
  std::istringstream list(names);
  for (std::string name; std::getline(list, name, ',');) entry.names.push_back(name);
  // "=SPEC" belongs to the value's form, "=int4" is a preset.
  const auto equals = entry.value.rfind('=');
  if (equals != std::string::npos && (std::isupper(static_cast<unsigned char>(entry.value[equals + 1])) == 0)) {
    entry.preset = entry.value.substr(equals + 1);
    if (entry.preset.starts_with('[')) entry.preset = entry.preset.substr(1, entry.preset.size() - 2);
    entry.value.resize(equals);
  }
  take(entry.value, ":");  // what the value is checked for
  return entry;
}

/// The entries below a heading, up to an empty line; long names have their description in the next line.
std::vector<HelpEntry> entries_of(const std::vector<std::string>& lines, const std::string& heading) {
  std::vector<HelpEntry> entries;
  const std::string indent(kColumn, ' ');
  auto line = std::ranges::find(lines, heading);
  if (line == lines.end()) return entries;
  for (++line; line != lines.end() && !line->empty(); ++line) {
    const bool alone = line + 1 != lines.end() && (line + 1)->starts_with(indent);
    if (!alone && (line->size() <= kColumn || (*line)[kColumn - 1] != ' '))
      throw std::runtime_error(fmt::format("\"{}\": has no description", *line));
    entries.push_back(entry_of(alone ? *line : line->substr(0, kColumn)));
    if (alone) ++line;
    entries.back().description = line->substr(kColumn);
  }
  return entries;
}

Help help_of(const std::string& command) {
  std::vector<std::string> arguments = {"qwen3vl-export"};
  if (!command.empty()) arguments.push_back(command);
  arguments.emplace_back("--help");
  std::istringstream text(printed(arguments));
  std::vector<std::string> lines;
  for (std::string line; std::getline(text, line);) lines.push_back(line);
  Help help{.command = command, .summary = {}, .description = {}, .usage = {}, .arguments = {}, .options = {}};
  const std::string usage = "Usage: ";
  for (const std::string& line : lines) {
    if (line.starts_with(usage)) {
      help.usage = line.substr(usage.size());
      break;
    }
    help.description += line + '\n';
  }
  help.arguments = entries_of(lines, "Positionals:");
  help.options = entries_of(lines, "Options:");
  if (help.usage.empty() || help.options.empty())
    throw std::runtime_error(fmt::format("{}: has no usage or no options", fmt::join(arguments, " ")));
  return help;
}

/// What the program's --help says of a command, in the line of its own or the one below.
std::string summary_of(const std::string& command) {
  std::istringstream text(printed({"qwen3vl-export", "--help"}));
  const std::string start = "  qwen3vl-export " + command + " ";
  constexpr std::size_t kSummary = 47;  // where it begins
  for (std::string line; std::getline(text, line);) {
    if (!line.starts_with(start)) continue;
    if (line.size() <= kSummary || line[kSummary - 1] != ' ') std::getline(text, line);
    if (line.size() > kSummary) return line.substr(kSummary);
  }
  throw std::runtime_error(fmt::format("qwen3vl-export --help does not tell what the command {} is for", command));
}

}  // namespace

std::vector<Help> read_help() {
  std::vector<Help> commands = {help_of("")};
  for (const std::string& name : command_names()) {
    commands.push_back(help_of(name));
    commands.back().summary = summary_of(name);
  }
  return commands;
}

HelpValue value_of(const HelpEntry& entry) {
  HelpValue value;
  const bool literal = entry.value.find_first_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ") == std::string::npos;
  value.list = literal && entry.value.find(',') != std::string::npos;
  std::istringstream text(entry.value);
  for (std::string word; std::getline(text, word, value.list ? ',' : '|');) {
    if (word.find_first_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ") == std::string::npos) value.words.push_back(word);
    if (word.starts_with("FILE")) value.files = true;
    if (word == "DIR" || word == "CHECKPOINT" || word == "PACKAGE" || word == "AGAINST") value.folders = true;
    if (word == "RECIPE")
      for (const auto& [name, description] : builtin_recipes()) value.words.push_back(name);
  }
  return value;
}

}  // namespace q3vl
