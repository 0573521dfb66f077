// What the fuzz targets share: which ends of a parser are sound, and what must hold of what it accepts.
//
//   extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
//     q3vl::fuzz::accepts([&] { parse(q3vl::fuzz::text(data, size)); });
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>

#include "qwen3vl_export/error.h"

namespace q3vl::fuzz {

inline std::string text(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

[[noreturn]] inline void report(const std::string& finding) {
  std::fprintf(stderr, "finding: %s\n", finding.c_str());
  std::abort();
}

inline void expect(bool holds, const char* what) {
  if (!holds) report(std::string("broken: ") + what);
}

/// Whether `parse` took the input. It may refuse it by an Error that a user can act on; an internal one is a defect of
/// the program, and whatever else it throws ends the process.
template <typename Parse>
bool accepts(Parse&& parse) {
  try {
    std::forward<Parse>(parse)();
    return true;
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::internal) report(error.what());
    expect(error.what()[0] != '\0', "an error says something");
    return false;
  }
}

}  // namespace q3vl::fuzz
