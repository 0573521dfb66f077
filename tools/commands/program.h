// The whole program, for main() and for tests that run it inside themselves.
#pragma once

#include <string>
#include <vector>

namespace q3vl {

/// Picks the command, runs it, and turns errors into one sentence and an exit code, which it returns.
int run_program(int argc, char** argv);

/// The words that are commands, in the order of the alphabet.
std::vector<std::string> command_names();

}  // namespace q3vl
