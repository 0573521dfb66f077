// export: the seconds of an export, beside those of a program that only reads and writes as many bytes.
#include <fmt/format.h>
#include <unistd.h>

#include <array>

#include "bench.h"
#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

namespace fs = std::filesystem;

constexpr std::array kCaches = {"warm", "cold"};
constexpr std::array kPrograms = {"export", "floor", "floor overlapped"};
constexpr double kFewPages = 0.01;  // what may be missing of a warm checkpoint, and be left of a cold one
constexpr int kMoreReads = 3;

struct Run {
  int round;
  std::string cache, program;
  double page_cache_share;  ///< of the checkpoint's shards, before the run
  Usage usage;
};

class ExportBenchmark {
 public:
  ExportBenchmark(const Settings& settings, const fs::path& checkpoint, std::uint64_t package_bytes)
      : settings_(settings),
        checkpoint_(checkpoint),
        shards_(shards_of(checkpoint)),
        package_bytes_(package_bytes),
        scratch_(scratch_folder(settings)) {}

  /// The kinds of runs take turns, so that what else goes on in the machine falls on all of them; each round begins
  /// with another one.
  std::vector<Run> run() {
    std::vector<Run> runs;
    for (int round = 0; round < settings_.rounds; ++round)
      for (const char* cache : kCaches)
        for (std::size_t turn = 0; turn < kPrograms.size(); ++turn) {
          const char* program = kPrograms[(turn + static_cast<std::size_t>(round)) % kPrograms.size()];
          runs.push_back({round + 1, cache, program, prepare(cache), measure(program)});
          fmt::print("round {} of {}: {} {:<16} {:6.2f} s\n", round + 1, settings_.rounds, cache, program,
                     runs.back().usage.wall_seconds);
          std::fflush(stdout);
        }
    fs::remove_all(scratch_);
    return runs;
  }

 private:
  /// Brings the page cache into its state. Returns the share of the shards that it holds.
  double prepare(const std::string& cache) {
    fs::remove_all(scratch_);
    fs::create_directories(scratch_);
    ::sync();  // what the run before left, the room of its files that is given back too
    const bool warm = cache == "warm";
    (warm ? warm_page_cache : drop_from_page_cache)(shards_);
    double share = page_cache_share(shards_);
    // A full cache may give up pages that were read once for others of the same file; those that are read again stay.
    for (int again = 0; warm && share < 1 - kFewPages && again < kMoreReads; ++again) {
      warm_page_cache(shards_);
      share = page_cache_share(shards_);
    }
    if (warm ? share < 1 - kFewPages : share > kFewPages)
      fmt::print("note: the page cache holds {:.0f} % of the checkpoint before this {} run\n", share * 100, cache);
    return share;
  }

  Usage measure(const std::string& program) const {
    if (program == "export")
      return run_child({settings_.program("qwen3vl-export"), checkpoint_, "--output", scratch_ / "package", "--recipe",
                        kRecipe, "--quiet"})
          .usage;
    std::vector<std::string> arguments = {settings_.program("qwen3vl-copy-floor"), "--output", scratch_ / "floor",
                                          "--bytes", std::to_string(package_bytes_)};
    if (program == "floor overlapped") arguments.emplace_back("--overlap");
    arguments.insert(arguments.end(), shards_.begin(), shards_.end());
    return run_child(arguments).usage;
  }

  const Settings& settings_;
  fs::path checkpoint_;
  Files shards_;
  std::uint64_t package_bytes_;
  fs::path scratch_;
};

/// One number of every run of a kind, in the order of the rounds.
std::vector<double> values(const std::vector<Run>& runs, const std::string& cache, const std::string& program,
                           double (*number)(const Usage&)) {
  std::vector<double> found;
  for (const Run& run : runs)
    if (run.cache == cache && run.program == program) found.push_back(number(run.usage));
  return found;
}

double wall(const Usage& usage) {
  return usage.wall_seconds;
}
double user(const Usage& usage) {
  return usage.user_seconds;
}
double system(const Usage& usage) {
  return usage.system_seconds;
}
double memory(const Usage& usage) {
  return static_cast<double>(usage.peak_memory_bytes);
}

/// Export over floor, round by round.
Spread ratio(const std::vector<Run>& runs, const std::string& cache, const std::string& floor) {
  std::vector<double> ratios = values(runs, cache, "export", wall);
  const std::vector<double> floors = values(runs, cache, floor, wall);
  for (std::size_t i = 0; i < ratios.size(); ++i) ratios[i] /= floors[i];
  return spread(ratios);
}

/// Prints the medians, and returns them as JSON and as the columns of the plot: a line for each state of the cache.
std::pair<Json, std::string> sum_up(const std::vector<Run>& runs) {
  Json summary = Json::array();
  std::string columns;
  fmt::print("\n{:<6} {:<16} {:>8} {:>8} {:>8} {:>8} {:>8} {:>10}  {}\n", "cache", "program", "median s", "min s",
             "max s", "user s", "system s", "memory MiB", "export / this");
  for (const char* cache : kCaches) {
    columns += cache;
    for (const char* program : kPrograms) {
      const Spread seconds = spread(values(runs, cache, program, wall));
      const Spread user_seconds = spread(values(runs, cache, program, user));
      const Spread system_seconds = spread(values(runs, cache, program, system));
      const Spread bytes = spread(values(runs, cache, program, memory));
      summary.push_back({{"cache", cache},
                         {"program", program},
                         {"wall_seconds", to_json(seconds)},
                         {"user_seconds", to_json(user_seconds)},
                         {"system_seconds", to_json(system_seconds)},
                         {"peak_memory_bytes", to_json(bytes)}});
      columns += fmt::format("\t{}\t{}\t{}", seconds.median, seconds.min, seconds.max);
      fmt::print("{:<6} {:<16} {:>8.2f} {:>8.2f} {:>8.2f} {:>8.2f} {:>8.2f} {:>10.0f}", cache, program, seconds.median,
                 seconds.min, seconds.max, user_seconds.median, system_seconds.median, bytes.median / (1U << 20));
      if (program != kPrograms.front()) {
        const Spread over = ratio(runs, cache, program);
        summary.back()["export_ratio"] = to_json(over);
        fmt::print("  {:.2f} ({:.2f} to {:.2f})", over.median, over.min, over.max);
      }
      fmt::print("\n");
    }
    columns += "\n";
  }
  return {summary, columns};
}

/// Makes the checkpoint when none is given. What is missing of the disk is said before it is filled.
std::pair<fs::path, PackageSizes> ready_checkpoint(const Settings& settings) {
  const bool given = !settings.checkpoint.empty();
  const fs::path checkpoint = given ? settings.checkpoint : scratch_checkpoint(settings, settings.size, false);
  const bool there = fs::exists(checkpoint);
  // A sparse checkpoint of the same shapes tells the sizes of one that is not there.
  const PackageSizes sizes =
      package_sizes(settings, given || there ? checkpoint : make_checkpoint(settings, settings.size, true));
  const std::uint64_t needed = sizes.package_bytes + (given || there ? 0 : sizes.checkpoint_bytes);
  const std::uint64_t free = fs::space(settings.out).available;
  fmt::print("{}: a checkpoint of {}{}, and one package or copy of {} at a time: {} of {} free\n",
             settings.out.string(), gigabytes(sizes.checkpoint_bytes), given || there ? ", which is there" : "",
             gigabytes(sizes.package_bytes), gigabytes(needed), gigabytes(free));
  std::fflush(stdout);
  if (free < needed)
    throw Error(ErrorKind::output, fmt::format("{}: the export's measurement needs {} of disk, {} are free",
                                               settings.out.string(), gigabytes(needed), gigabytes(free)));
  return {given ? checkpoint : make_checkpoint(settings, settings.size, false), sizes};
}

}  // namespace

Json measure_export(const Settings& settings) {
  const auto [checkpoint, sizes] = ready_checkpoint(settings);
  const std::vector<Run> runs = ExportBenchmark(settings, checkpoint, sizes.package_bytes).run();
  const auto [summary, columns] = sum_up(runs);
  replace_text_file(settings.out / "export.dat",
                    fmt::format("# {}: {} of checkpoint, {} of package; {}, {} rounds\n{}", kRecipe,
                                gigabytes(sizes.checkpoint_bytes), gigabytes(sizes.package_bytes), machine_name(),
                                settings.rounds, columns));
  Json raw = Json::array();
  for (const Run& run : runs) {
    Json entry = {{"round", run.round},
                  {"cache", run.cache},
                  {"program", run.program},
                  {"page_cache_share", run.page_cache_share}};
    entry.update(to_json(run.usage));
    raw.push_back(entry);
  }
  return {{"measured_at", timestamp()},
          {"recipe", kRecipe},
          {"checkpoint", checkpoint.string()},
          {"checkpoint_bytes", sizes.checkpoint_bytes},
          {"package_bytes", sizes.package_bytes},
          {"summary", summary},
          {"runs", raw}};
}

}  // namespace q3vl
