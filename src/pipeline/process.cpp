#include "pipeline/process.h"

#include <sys/resource.h>

#include <charconv>
#include <fstream>

namespace q3vl {
namespace {

/// What stands behind the colon of the first line "key: value" or "key<tabs>: value"; empty when there is none.
std::string value_in(const char* file, const std::string& key) {
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);) {
    const auto colon = line.find(':');
    if (colon == std::string::npos || line.substr(0, line.find_last_not_of(" \t", colon - 1) + 1) != key) continue;
    const auto begin = line.find_first_not_of(" \t", colon + 1);
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return "";
}

/// A size of /proc/self/status, which is written "123 kB", in bytes.
std::uint64_t status_bytes(const std::string& key) {
  const std::string text = value_in("/proc/self/status", key);
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

std::string processor_name() {
  return value_in("/proc/cpuinfo", "model name");
}

}  // namespace q3vl
