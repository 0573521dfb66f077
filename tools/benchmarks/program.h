// What the benchmark programs' main() functions share.
#pragma once

#include <fmt/format.h>

#include <cstdio>
#include <exception>

namespace q3vl {

/// What `run` returns; 1, with one sentence on the error stream, when it throws.
template <class Run>
int run_program(const Run& run) {
  try {
    return run();
  } catch (const std::exception& error) {
    fmt::print(stderr, "error: {}\n", error.what());
    return 1;
  }
}

}  // namespace q3vl
