// qwen3vl-manual FRAME FOLDER: writes the man page and the completions of qwen3vl-export into FOLDER. FRAME is what of
// the page is written by hand; all else is what the program's own --help says.
#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <filesystem>

#include "base/file.h"
#include "manual/help.h"

int main(int argc, char** argv) {
  try {
    if (argc != 3) throw std::runtime_error("expected two arguments: FRAME FOLDER");
    const std::filesystem::path folder = argv[2];
    std::filesystem::create_directories(folder);
    const auto commands = q3vl::read_help();
    q3vl::replace_text_file(folder / "qwen3vl-export.1", q3vl::man_page(commands, q3vl::read_text_file(argv[1])));
    q3vl::replace_text_file(folder / "qwen3vl-export.bash", q3vl::bash_completion(commands));
    q3vl::replace_text_file(folder / "_qwen3vl-export", q3vl::zsh_completion(commands));
    q3vl::replace_text_file(folder / "qwen3vl-export.fish", q3vl::fish_completion(commands));
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "qwen3vl-manual: {}\n", error.what());
    return 1;
  }
}
