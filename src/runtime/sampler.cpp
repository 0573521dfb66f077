#include "runtime/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_set>

namespace q3vl {
namespace {

void penalise(std::vector<float>& logits, std::span<const std::int64_t> past, double penalty) {
  const auto factor = static_cast<float>(penalty);
  for (const std::int64_t token : std::unordered_set<std::int64_t>(past.begin(), past.end())) {
    if (token < 0 || token >= static_cast<std::int64_t>(logits.size())) continue;
    float& logit = logits[static_cast<std::size_t>(token)];
    logit = logit > 0 ? logit / factor : logit * factor;
  }
}

struct Candidate {
  std::int64_t token;
  double weight;  ///< proportional to its chance
};

/// The tokens that may be chosen, the likeliest first; of equally likely ones the one with the lower id.
std::vector<Candidate> candidates_of(const std::vector<float>& logits, const SamplingSettings& settings) {
  std::vector<std::int64_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto likelier = [&](std::int64_t a, std::int64_t b) {
    const float x = logits[static_cast<std::size_t>(a)];
    const float y = logits[static_cast<std::size_t>(b)];
    return x != y ? x > y : a < b;
  };
  const auto all = static_cast<std::int64_t>(order.size());
  const std::int64_t kept = settings.top_k > 0 ? std::min(settings.top_k, all) : all;
  std::partial_sort(order.begin(), order.begin() + kept, order.end(), likelier);
  order.resize(static_cast<std::size_t>(kept));
  const double most = logits[static_cast<std::size_t>(order.front())];
  std::vector<Candidate> candidates;
  double total = 0;
  for (const std::int64_t token : order) {
    const double weight = std::exp((logits[static_cast<std::size_t>(token)] - most) / settings.temperature);
    candidates.push_back({token, weight});
    total += weight;
  }
  double reached = 0;
  std::size_t count = 0;
  while (count < candidates.size() && (count == 0 || reached < settings.top_p * total))
    reached += candidates[count++].weight;
  candidates.resize(count);
  return candidates;
}

}  // namespace

std::int64_t Sampler::choose(std::span<const float> logits, std::span<const std::int64_t> past) {
  std::vector<float> values(logits.begin(), logits.end());
  if (settings_.repetition_penalty != 1) penalise(values, past, settings_.repetition_penalty);
  if (!settings_.do_sample) return std::ranges::max_element(values) - values.begin();
  const std::vector<Candidate> candidates = candidates_of(values, settings_);
  double total = 0;
  for (const Candidate& candidate : candidates) total += candidate.weight;
  // Not std::uniform_real_distribution, which differs from library to library.
  double left = static_cast<double>(random_() >> 11) * 0x1p-53 * total;
  for (const Candidate& candidate : candidates)
    if ((left -= candidate.weight) < 0) return candidate.token;
  return candidates.back().token;
}

}  // namespace q3vl
