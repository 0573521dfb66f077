// What the operating system says about this process.
#pragma once

#include <cstdint>
#include <optional>

namespace q3vl {

/// The largest resident size so far, in bytes.
std::uint64_t peak_memory();

/// The resident size now, in bytes; 0 where the system does not tell.
std::uint64_t resident_memory();

/// The largest resident size from its making on.
class PeakMemory {
 public:
  PeakMemory();

  /// In bytes; nothing where the system does not let a process count anew.
  std::optional<std::uint64_t> bytes() const;

 private:
  bool counts_ = false;
};

}  // namespace q3vl
