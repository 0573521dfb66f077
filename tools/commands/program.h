// The whole program, for main() and for tests that run it inside themselves.
#pragma once

namespace q3vl {

/// Picks the command, runs it, and turns errors into one sentence and an exit code, which it returns.
int run_program(int argc, char** argv);

}  // namespace q3vl
