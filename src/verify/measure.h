// How far two tensors, or two distributions, are apart.
#pragma once

#include <cstdint>
#include <span>

namespace q3vl {

/// The largest |found − expected| divided by the largest of 1, |expected| there, and the root mean square of
/// `expected`: an error of 1e-4 is one in the fourth digit of what the tensor holds. Infinity for values that are not
/// finite and for spans of different lengths.
double scaled_error(std::span<const float> found, std::span<const float> expected);

/// Sums over pairs of vectors from which their likeness follows.
class Likeness {
 public:
  void add(std::span<const float> found, std::span<const float> expected);

  /// Whether nothing was added but zeros.
  bool empty() const { return expected_ == 0 && found_ == 0; }

  /// Cosine of the angle between all that was added; 1 when both are zero.
  double cosine() const;

  /// |found − expected| / |expected|; 0 when both are zero.
  double relative_error() const;

 private:
  double dot_ = 0;
  double found_ = 0;
  double expected_ = 0;
  double difference_ = 0;
};

/// Kullback-Leibler divergence, in nats, of the distribution that the logits `found` give from that of `expected`. Not
/// a number when logits are not.
double kl_divergence(std::span<const float> found, std::span<const float> expected);

/// What it costs, in nats, that `token` comes: −log of its share of the distribution that the logits give.
double negative_log_likelihood(std::span<const float> logits, std::int64_t token);

/// The index of the largest value; the first of equal ones.
std::int64_t argmax(std::span<const float> values);

}  // namespace q3vl
