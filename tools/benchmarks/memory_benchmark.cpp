// memory: how large an export becomes, for every size of checkpoint and with few and many threads. The checkpoints are
// sparse: their weights are zeros that take no room on the disk.
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <optional>

#include "bench.h"
#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

namespace fs = std::filesystem;

constexpr std::array kThreads = {1, 2, 4};
constexpr std::uint64_t kSpareBytes = 1'000'000'000;  // of the disk, beside the package

struct Run {
  std::string size;
  std::optional<int> threads;  ///< nothing: one a processor
  std::uint64_t checkpoint_bytes;
  Usage usage;

  double seconds_per_gigabyte() const { return usage.wall_seconds / (static_cast<double>(checkpoint_bytes) / 1e9); }
};

void print(const Run& run) {
  fmt::print("{:<6} {:>8} {:>14} {:>12.0f} {:>8.2f} {:>10.2f}\n", run.size,
             run.threads ? std::to_string(*run.threads) : "all", gigabytes(run.checkpoint_bytes),
             static_cast<double>(run.usage.peak_memory_bytes) / (1U << 20), run.usage.wall_seconds,
             run.seconds_per_gigabyte());
  std::fflush(stdout);
}

/// Nothing, and a line that says so, when the package would not fit on the disk.
std::optional<Run> measure(const Settings& settings, const std::string& size, std::optional<int> threads) {
  const fs::path checkpoint = make_checkpoint(settings, size, true);
  const PackageSizes sizes = package_sizes(settings, checkpoint);
  const fs::path scratch = scratch_folder(settings);
  fs::remove_all(scratch);
  fs::create_directories(scratch);
  ::sync();
  const std::uint64_t free = fs::space(settings.out).available;
  if (free < sizes.package_bytes + kSpareBytes) {
    fmt::print("{:<6} skipped: its package of {} needs more than the {} that are free\n", size,
               gigabytes(sizes.package_bytes), gigabytes(free));
    return std::nullopt;
  }
  std::vector<std::string> arguments = {
      settings.program("qwen3vl-export"), checkpoint, "--output", scratch / "package", "--recipe", kRecipe, "--quiet"};
  if (threads) arguments.insert(arguments.end(), {"--threads", std::to_string(*threads)});
  const Run run{size, threads, sizes.checkpoint_bytes, run_child(arguments).usage};
  fs::remove_all(scratch);
  print(run);
  return run;
}

Json to_json(const Run& run) {
  Json json = {{"size", run.size}};
  if (run.threads) json["threads"] = *run.threads;
  json["checkpoint_bytes"] = run.checkpoint_bytes;
  json["seconds_per_gigabyte"] = run.seconds_per_gigabyte();
  json.update(to_json(run.usage));
  return json;
}

/// A line of the plot.
std::string columns(const Run& run) {
  return fmt::format("{}\t{}\t{}\t{}\t{}\n", run.size, run.threads.value_or(0),
                     static_cast<double>(run.checkpoint_bytes) / 1e9,
                     static_cast<double>(run.usage.peak_memory_bytes) / (1U << 20), run.seconds_per_gigabyte());
}

}  // namespace

Json measure_memory(const Settings& settings) {
  fmt::print("{:<6} {:>8} {:>14} {:>12} {:>8} {:>10}\n", "size", "threads", "checkpoint", "memory MiB", "seconds",
             "s per GB");
  Json by_size = Json::array();
  Json by_threads = Json::array();
  std::string plot = fmt::format("# {} of sparse checkpoints; {}\n", kRecipe, machine_name());
  for (const std::string& size : settings.memory_sizes)
    if (const auto run = measure(settings, size, std::nullopt)) {
      by_size.push_back(to_json(*run));
      plot += columns(*run);
    }
  if (by_size.empty())
    throw Error(ErrorKind::output,
                fmt::format("{}: there is no room for a package of any size", settings.out.string()));
  plot += "\n\n";  // gnuplot: another index
  for (const int threads : kThreads)
    if (const auto run = measure(settings, settings.memory_sizes.front(), threads)) {
      by_threads.push_back(to_json(*run));
      plot += columns(*run);
    }
  replace_text_file(settings.out / "memory.dat", plot);
  return {{"measured_at", timestamp()}, {"recipe", kRecipe}, {"by_size", by_size}, {"by_threads", by_threads}};
}

}  // namespace q3vl
