// Running a command as a user does: arguments in, exit code and what it printed out.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace q3vl {

struct CommandResult {
  int exit_code;  ///< 128 + signal for a process that a signal ended
  std::string out;
  std::string err;
};

/// Runs `arguments[0]` with the rest, without a shell and without standard input. `interrupt_after`: when to send
/// SIGTERM, if the process still runs.
CommandResult run_command(const std::vector<std::string>& arguments,
                          std::optional<std::chrono::milliseconds> interrupt_after = std::nullopt);

}  // namespace q3vl
