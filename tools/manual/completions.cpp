// Completions of commands, options, and the values that options can have, for three shells.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>

#include "manual/help.h"

namespace q3vl {
namespace {

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (auto at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
  return text;
}

std::string command_words(const std::vector<Help>& commands) {
  std::vector<std::string> names;
  for (const Help& help : commands)
    if (!help.command.empty()) names.push_back(help.command);
  return fmt::format("{}", fmt::join(names, " "));
}

std::string option_words(const Help& help) {
  std::vector<std::string> names;
  for (const HelpEntry& option : help.options) names.insert(names.end(), option.names.begin(), option.names.end());
  return fmt::format("{}", fmt::join(names, " "));
}

/// What bash is to set before it completes a value.
std::string bash_settings(const HelpValue& value) {
  std::string text;
  if (!value.words.empty()) text += fmt::format(" words='{}'", fmt::join(value.words, " "));
  if (value.list) text += " list=y";
  if (value.files) text += " files=y";
  if (value.folders) text += " folders=y";
  return text;
}

constexpr const char* kBash = R"(# Completion of qwen3vl-export for bash, made of what its --help says.
_qwen3vl_export() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD - 1]}} command=
  local value=y words='' list='' files='' folders='' head=''
  # "--recipe=int4" arrives as three words.
  if [[ $current == = ]]; then
    current=
  elif [[ $before == = ]]; then
    before=${{COMP_WORDS[COMP_CWORD - 2]}}
  fi
  if ((COMP_CWORD > 1)) && [[ ' {0} ' == *" ${{COMP_WORDS[1]}} "* ]]; then command=${{COMP_WORDS[1]}}; fi
  case "$command $before" in
{1}    *) value= ;;
  esac
  if [[ -z $value && $current == -* ]]; then
    case $command in
{2}    esac
  elif [[ -z $value ]]; then
    case $command in
{3}    esac
    if ((COMP_CWORD == 1)); then words='{0}'; fi
  fi
  if [[ -n $list && $current == *,* ]]; then
    head=${{current%,*}},
    current=${{current##*,}}
  fi
  if [[ -n $files$folders ]]; then compopt -o filenames 2>/dev/null; fi  # of no use, and refused, outside completion
  mapfile -t COMPREPLY < <(
    compgen -P "$head" -W "$words" -- "$current"
    if [[ -n $files ]]; then compgen -f -- "$current"; elif [[ -n $folders ]]; then compgen -d -- "$current"; fi
  )
}}
complete -F _qwen3vl_export qwen3vl-export
)";

std::string zsh_quoted(const std::string& text) {
  return "'" + replaced(text, "'", "'\\''") + "'";
}

/// Inside the brackets of an option's text, and between colons.
std::string zsh_text(std::string text) {
  text = replaced(text, "\\", "\\\\");
  for (const char* special : {"[", "]", ":"}) text = replaced(text, special, std::string("\\") + special);
  return text;
}

std::string zsh_action(const HelpValue& value) {
  const std::string words = fmt::format("{}", fmt::join(value.words, " "));
  const std::string paths = value.files ? "_files" : value.folders ? "_files -/" : "";
  if (value.list) return "_sequence compadd - " + words;
  if (words.empty()) return paths.empty() ? " " : paths;
  return paths.empty() ? "(" + words + ")" : "{ compadd - " + words + "; " + paths + " }";
}

/// The arguments of _arguments for a command, one a line.
std::string zsh_specs(const Help& help) {
  std::string text;
  for (const HelpEntry& option : help.options)
    for (const std::string& name : option.names) {
      std::string spec = option.repeated ? "*" : fmt::format("({})", fmt::join(option.names, " "));
      spec += name;
      if (!option.value.empty()) spec += name.starts_with("--") ? "=" : "+";
      spec += "[" + zsh_text(option.description) + "]";
      if (!option.value.empty()) spec += ":" + zsh_text(option.value) + ":" + zsh_action(value_of(option));
      text += " \\\n      " + zsh_quoted(spec);
    }
  int place = 1;
  for (const HelpEntry& argument : help.arguments) {
    const std::string action = zsh_action(value_of(argument));
    const bool or_command = help.command.empty() && place == 1;
    text +=
        " \\\n      " + zsh_quoted(fmt::format("{}:{}:{}", place++, zsh_text(argument.value),
                                               or_command ? "{ _describe command commands; " + action + " }" : action));
  }
  return text;
}

std::string fish_quoted(const std::string& text) {
  return "'" + replaced(replaced(text, "\\", "\\\\"), "'", "\\'") + "'";
}

std::string fish_value(const HelpValue& value) {
  const std::string words = fmt::format("{}", fmt::join(value.words, " "));
  if (value.list) return " -x -a '(__fish_append , " + words + ")'";
  std::string offered = words;
  if (value.folders && !value.files) offered += std::string(words.empty() ? "" : " ") + "(__fish_complete_directories)";
  return std::string(value.files ? " -r -F" : " -x") + (offered.empty() ? "" : " -a '" + offered + "'");
}

}  // namespace

std::string bash_completion(const std::vector<Help>& commands) {
  std::map<std::string, std::vector<std::string>> values;  // settings → where they are made
  std::string options;
  std::string arguments;
  for (const Help& help : commands) {
    for (const HelpEntry& option : help.options)
      for (const std::string& name : option.names)
        if (!option.value.empty())
          values[bash_settings(value_of(option))].push_back(fmt::format("'{} {}'", help.command, name));
    options += fmt::format("      '{}') words='{}' ;;\n", help.command, option_words(help));
    HelpValue any;
    for (const HelpEntry& argument : help.arguments) {
      const HelpValue value = value_of(argument);
      any.files = any.files || value.files;
      any.folders = any.folders || value.folders;
    }
    arguments += fmt::format("      '{}'){} ;;\n", help.command, bash_settings(any));
  }
  std::string cases;
  for (const auto& [settings, places] : values)
    cases += fmt::format("    {}){} ;;\n", fmt::join(places, " | "), settings);
  return fmt::format(kBash, command_words(commands), cases, options, arguments);
}

std::string zsh_completion(const std::vector<Help>& commands) {
  std::string summaries;
  std::string cases;
  for (const Help& help : commands) {
    if (help.command.empty()) continue;
    summaries += "\n    " + zsh_quoted(help.command + ":" + replaced(help.summary, ":", "\\:"));
    cases += fmt::format("  ({})\n    shift words\n    (( CURRENT-- ))\n    _arguments -s -S{}\n    return\n    ;;\n",
                         help.command, zsh_specs(help));
  }
  return fmt::format(
      "#compdef qwen3vl-export\n# Completion of qwen3vl-export for zsh, made of what its --help says.\n"
      "local -a commands=({}\n)\nif (( CURRENT > 2 )); then\n  case $words[2] in\n{}  esac\nfi\n_arguments -s -S{}\n",
      summaries, cases, zsh_specs(commands.front()));
}

std::string fish_completion(const std::vector<Help>& commands) {
  std::string text = fmt::format(
      "# Completion of qwen3vl-export for fish, made of what its --help says.\nset -l commands {}\n"
      "complete -c qwen3vl-export -f -a '(__fish_complete_directories)'\n",
      command_words(commands));
  for (const Help& help : commands)
    if (!help.command.empty())
      text += fmt::format("complete -c qwen3vl-export -n __fish_is_first_token -a {} -d {}\n", help.command,
                          fish_quoted(help.summary));
  for (const Help& help : commands) {
    const std::string condition = help.command.empty() ? "\"not __fish_seen_subcommand_from $commands\""
                                                       : "'__fish_seen_subcommand_from " + help.command + "'";
    for (const HelpEntry& option : help.options) {
      text += "complete -c qwen3vl-export -n " + condition;
      for (const std::string& name : option.names)
        text += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
      if (!option.value.empty()) text += fish_value(value_of(option));
      text += " -d " + fish_quoted(option.description) + "\n";
    }
  }
  return text;
}

}  // namespace q3vl
