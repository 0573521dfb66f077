// Running a program and measuring it, without a shell.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace q3vl {

struct Usage {
  double wall_seconds;  ///< until all that was written is on the disk
  double user_seconds;
  double system_seconds;
  std::uint64_t peak_memory_bytes;  ///< the largest resident size
};

struct ChildResult {
  Usage usage;
  std::string output;  ///< what the program printed, its errors too, when that was captured
};

enum class ChildOutput { captured, shown };

/// Runs `arguments[0]` with the rest, waits for it and syncs the disks. Throws Error(internal) when the program cannot
/// be started or fails, with what it said.
ChildResult run_child(const std::vector<std::string>& arguments, ChildOutput output = ChildOutput::captured);

}  // namespace q3vl
