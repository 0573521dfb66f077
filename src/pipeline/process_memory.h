// How much memory the process has taken.
#pragma once

#include <sys/resource.h>

#include <cstdint>

namespace q3vl {

/// The largest resident size of the process so far.
inline std::uint64_t peak_memory_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

}  // namespace q3vl
