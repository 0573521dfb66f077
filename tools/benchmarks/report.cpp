#include "report.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <fstream>

#include "base/file.h"

namespace q3vl {
namespace {

/// The value of the first line "name<blanks>: value" of a file such as /proc/cpuinfo, or nothing.
std::string value_of(const char* file, std::string_view name) {
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);) {
    const std::size_t colon = line.find(':');
    if (!line.starts_with(name) || colon == std::string::npos) continue;
    const std::size_t begin = line.find_first_not_of(" \t", colon + 1);
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return "";
}

std::string processor_name() {
  const std::string name = value_of("/proc/cpuinfo", "model name");
  return name.empty() ? "unknown processor" : name;
}

}  // namespace

Spread spread(std::vector<double> values) {
  std::ranges::sort(values);
  const std::size_t middle = values.size() / 2;
  const double median = values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  return {median, values.front(), values.back()};
}

Json to_json(const Spread& spread) {
  return {{"median", spread.median}, {"min", spread.min}, {"max", spread.max}};
}

Json to_json(const Usage& usage) {
  return {{"wall_seconds", usage.wall_seconds},
          {"user_seconds", usage.user_seconds},
          {"system_seconds", usage.system_seconds},
          {"peak_memory_bytes", usage.peak_memory_bytes}};
}

std::string gigabytes(std::uint64_t bytes) {
  return fmt::format("{:.1f} GB", static_cast<double>(bytes) / 1e9);
}

std::string timestamp() {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
}

Json machine() {
  utsname names{};
  ::uname(&names);
  return {{"processor", processor_name()},
          {"cores", ::sysconf(_SC_NPROCESSORS_ONLN)},
          {"memory_bytes", ::sysconf(_SC_PHYS_PAGES) * ::sysconf(_SC_PAGESIZE)},
          {"kernel", names.release}};
}

std::string machine_name() {
  return fmt::format("{}, {} cores", processor_name(), ::sysconf(_SC_NPROCESSORS_ONLN));
}

void replace_text_file(const std::filesystem::path& path, const std::string& text) {
  const std::filesystem::path fresh = path.string() + ".partial";
  std::filesystem::remove(fresh);
  write_text_file(fresh, text);
  std::filesystem::rename(fresh, path);
}

}  // namespace q3vl
