// The command line: picks the command, turns errors into one sentence and an exit code.
#include <fmt/format.h>

#include <array>
#include <csignal>
#include <string_view>

#include "commands/command.h"

namespace {

struct Command {
  std::string_view name;
  q3vl::CommandMain main;
};

// Without one of these words the command is to export; a checkpoint folder of such a name is written "./plan".
constexpr std::array kCommands = {Command{"bench", q3vl::bench_command},     Command{"check", q3vl::check_command},
                                  Command{"extract", q3vl::extract_command}, Command{"inspect", q3vl::inspect_command},
                                  Command{"plan", q3vl::plan_command},       Command{"verify", q3vl::verify_command}};

int run(int argc, char** argv) {
  for (const Command& command : kCommands)
    if (argc > 1 && command.name == argv[1]) return command.main(argc - 1, argv + 1);
  return q3vl::export_command(argc, argv);
}

extern "C" void on_signal(int) {
  q3vl::request_interrupt();
}

}  // namespace

int main(int argc, char** argv) {
  using q3vl::ErrorKind;
  std::signal(SIGINT, on_signal);
  std::signal(SIGTERM, on_signal);
  try {
    return run(argc, argv);
  } catch (const q3vl::Error& error) {
    return q3vl::print_error(error.what(), error.kind());
  } catch (const std::bad_alloc&) {
    return q3vl::print_error("not enough memory", ErrorKind::internal);
  } catch (const std::exception& error) {
    return q3vl::print_error(fmt::format("internal error: {}", error.what()), ErrorKind::internal);
  }
}
