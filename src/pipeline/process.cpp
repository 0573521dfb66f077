#include "pipeline/process.h"

#include <sys/resource.h>

#include <charconv>
#include <fstream>

#include "base/proc_file.h"

namespace q3vl {
namespace {

/// A size of /proc/self/status, which is written "123 kB", in bytes.
std::uint64_t status_bytes(const std::string& key) {
  const std::string text = proc_value("/proc/self/status", key);
  std::uint64_t kibibytes = 0;
  std::from_chars(text.data(), text.data() + text.size(), kibibytes);
  return kibibytes * 1024;
}

}  // namespace

std::uint64_t peak_memory() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

std::uint64_t resident_memory() {
  return status_bytes("VmRSS");
}

PeakMemory::PeakMemory() {
  // 5 sets VmHWM to what is resident now (proc_pid_clear_refs(5)).
  std::ofstream file("/proc/self/clear_refs");
  counts_ = static_cast<bool>(file << "5" << std::flush);
}

std::optional<std::uint64_t> PeakMemory::bytes() const {
  return counts_ ? std::optional(status_bytes("VmHWM")) : std::nullopt;
}

}  // namespace q3vl
