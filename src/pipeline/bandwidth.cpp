#include "pipeline/bandwidth.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <span>
#include <vector>

#include "base/parallel.h"

namespace q3vl {
namespace {

constexpr std::size_t kWords = (std::size_t{512} << 20) / sizeof(std::uint64_t);
constexpr int kPasses = 8;

/// Of a length that 8 divides. Eight sums at once: one would wait for itself rather than for the memory.
std::uint64_t sum(std::span<const std::uint64_t> words) {
  std::array<std::uint64_t, 8> sums{};
  for (std::size_t i = 0; i < words.size(); i += sums.size())
    for (std::size_t lane = 0; lane < sums.size(); ++lane) sums[lane] += words[i + lane];
  std::uint64_t total = 0;
  for (const std::uint64_t part : sums) total += part;
  return total;
}

}  // namespace

double read_bandwidth(int threads) {
  const auto count = static_cast<std::size_t>(std::max(1, threads));
  const std::size_t share = kWords / count / 8 * 8;
  std::vector<std::vector<std::uint64_t>> shares(count);
  // Written, not only reserved: pages that were never written are all one page of zeros, which stays in the cache.
  parallel_for(count, threads, [&](std::size_t index) { shares[index].assign(share, index); });
  std::atomic<std::uint64_t> total = 0;  // used, so that the reading is not left out
  double best = 0;
  for (int pass = 0; pass < kPasses; ++pass) {
    const auto start = std::chrono::steady_clock::now();
    parallel_for(count, threads, [&](std::size_t index) { total += sum(shares[index]); });
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = std::max(best, static_cast<double>(share * count * sizeof(std::uint64_t)) / seconds.count());
  }
  return best;
}

}  // namespace q3vl
