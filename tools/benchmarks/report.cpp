#include "report.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <utility>

#include "base/file.h"
#include "base/median.h"
#include "base/proc_file.h"

namespace q3vl {
namespace {

std::string known_processor() {
  const std::string name = processor_name();
  return name.empty() ? "unknown processor" : name;
}

}  // namespace

Spread spread(std::vector<double> values) {
  const auto [least, most] = std::ranges::minmax(values);
  return {median(std::move(values)), least, most};
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
  return {{"processor", known_processor()},
          {"cores", ::sysconf(_SC_NPROCESSORS_ONLN)},
          {"memory_bytes", ::sysconf(_SC_PHYS_PAGES) * ::sysconf(_SC_PAGESIZE)},
          {"kernel", names.release}};
}

std::string machine_name() {
  return fmt::format("{}, {} cores", known_processor(), ::sysconf(_SC_NPROCESSORS_ONLN));
}

void replace_text_file(const std::filesystem::path& path, const std::string& text) {
  const std::filesystem::path fresh = path.string() + ".partial";
  std::filesystem::remove(fresh);
  write_text_file(fresh, text);
  std::filesystem::rename(fresh, path);
}

}  // namespace q3vl
