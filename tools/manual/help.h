// What --help of a command says, taken apart: the man page and the completions of shells are made of it.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace q3vl {

/// An option, or an argument without a dash.
struct HelpEntry {
  std::vector<std::string> names;  ///< "-o", "--output"; or "checkpoint"
  std::string value;               ///< what stands behind it, as in "DIR" or "last|all"; empty for a flag
  std::string preset;              ///< the value that it has when it is not given; may be empty
  bool required = false;
  bool repeated = false;
  std::string description;
};

struct Help {
  std::string command;  ///< empty: to export, which has no word for it
  std::string summary;  ///< of the command, a few words
  std::string description;
  std::string usage;
  std::vector<HelpEntry> arguments;
  std::vector<HelpEntry> options;
};

/// The program's --help and that of every command, the program's own first. Throws std::runtime_error when a text is
/// not in the form that is known here.
std::vector<Help> read_help();

/// What an option's value can be, of its alternatives "int4|SPEC": words in small letters stand for themselves, and are
/// items of a list where commas part them; words in capitals stand for something.
struct HelpValue {
  std::vector<std::string> words;
  bool list = false;
  bool files = false;
  bool folders = false;
};

HelpValue value_of(const HelpEntry& entry);

/// The whole texts of the files that are made.
std::string man_page(const std::vector<Help>& commands, const std::string& frame);
std::string bash_completion(const std::vector<Help>& commands);
std::string zsh_completion(const std::vector<Help>& commands);
std::string fish_completion(const std::vector<Help>& commands);

}  // namespace q3vl
