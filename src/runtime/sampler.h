// How the next token is chosen among all: the likeliest, or by chance.
#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <vector>

namespace q3vl {

/// `search` of genai_config.json, as far as it is about one token.
struct SamplingSettings {
  bool do_sample = false;         ///< by chance; else the likeliest token
  double temperature = 1;         ///< divides the logits; above 0
  std::int64_t top_k = 0;         ///< only so many of the likeliest; 0: all
  double top_p = 1;               ///< only the likeliest whose chances add up to so much, and one at least
  double repetition_penalty = 1;  ///< of tokens that occurred: positive logits are divided by it, negative multiplied
};

/// Chooses tokens; the same seed gives the same tokens on every machine where the logits are the same. The steps and
/// their order are those of Hugging Face transformers' generate(): RepetitionPenaltyLogitsProcessor,
/// TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper.
class Sampler {
 public:
  Sampler(const SamplingSettings& settings, std::uint64_t seed) : settings_(settings), random_(seed) {}

  /// The next token after `past` (prompt and answer so far), by the logits [vocab]. Not empty.
  std::int64_t choose(std::span<const float> logits, std::span<const std::int64_t> past);

 private:
  SamplingSettings settings_;
  std::mt19937_64 random_;
};

}  // namespace q3vl
