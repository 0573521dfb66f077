// kernels: Google Benchmark's own program is run, and what it measured read from its JSON.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/file.h"
#include "bench.h"

namespace q3vl {
namespace {

constexpr const char* kMinSeconds = "0.1";  // of a repetition

/// What was measured of a kernel by one instruction set; memcpy is of none.
struct Rates {
  std::string kernel, instruction_set;
  std::vector<double> gigabytes_per_second;
};

/// Kernel by kernel, each with the best instruction set first: the one that an export takes.
std::vector<Rates> rates_of(std::vector<Json> benchmarks) {
  // Google Benchmark lists them in the random order of their runs; the index is that of their registration.
  std::ranges::stable_sort(benchmarks, {}, [](const Json& run) { return run.at("family_index").get<int>(); });
  std::vector<Rates> all;
  std::map<std::string, std::size_t> kernels;  // in their order
  for (const Json& run : benchmarks) {
    if (run.at("run_type") != "iteration") continue;
    const std::string name = run.at("run_name");
    const std::size_t slash = name.starts_with("memcpy/") ? name.size() : name.rfind('/');
    const std::string kernel = name.substr(0, slash);
    const std::string instruction_set = name.substr(std::min(slash + 1, name.size()));
    kernels.try_emplace(kernel, kernels.size());
    const auto same = [&](const Rates& r) { return r.kernel == kernel && r.instruction_set == instruction_set; };
    auto place = std::ranges::find_if(all, same);
    if (place == all.end()) place = all.insert(all.end(), {kernel, instruction_set, {}});
    place->gigabytes_per_second.push_back(run.at("bytes_per_second").get<double>() / 1e9);
  }
  std::ranges::stable_sort(all, {}, [&](const Rates& rates) { return kernels.at(rates.kernel); });
  return all;
}

}  // namespace

Json measure_kernels(const Settings& settings) {
  const std::filesystem::path raw = settings.out / "kernels.json";
  run_child({settings.program("qwen3vl-kernel-benchmark"), fmt::format("--benchmark_min_time={}", kMinSeconds),
             fmt::format("--benchmark_repetitions={}", settings.rounds), "--benchmark_enable_random_interleaving=true",
             "--benchmark_out_format=json", fmt::format("--benchmark_out={}", raw.string())});
  const Json measured = Json::parse(read_text_file(raw));
  const std::vector<Rates> all = rates_of(measured.at("benchmarks").get<std::vector<Json>>());

  Json results = Json::array();
  std::string columns = fmt::format("# {}; one thread, medians of {} runs\n", machine_name(), settings.rounds);
  fmt::print("{:<36} {:<8} {:>8} {:>8} {:>8}  GB/s\n", "kernel", "", "median", "min", "max");
  for (const Rates& rates : all) {
    const Spread gbps = spread(rates.gigabytes_per_second);
    results.push_back({{"kernel", rates.kernel},
                       {"instruction_set", rates.instruction_set},
                       {"gigabytes_per_second", to_json(gbps)},
                       {"runs", rates.gigabytes_per_second}});
    columns +=
        fmt::format("{}\t{}\t{}\t{}\t{}\n", rates.kernel, rates.instruction_set.empty() ? "-" : rates.instruction_set,
                    gbps.median, gbps.min, gbps.max);
    fmt::print("{:<36} {:<8} {:>8.2f} {:>8.2f} {:>8.2f}\n", rates.kernel, rates.instruction_set, gbps.median, gbps.min,
               gbps.max);
  }
  replace_text_file(settings.out / "kernels.dat", columns);
  return {{"measured_at", timestamp()}, {"results", results}};
}

}  // namespace q3vl
