// What the operating system says about this process and the machine.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

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

/// The model name of the processor; empty where the system does not tell.
std::string processor_name();

}  // namespace q3vl
