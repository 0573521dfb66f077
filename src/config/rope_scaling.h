// How a language model reaches positions beyond those of its training.
#pragma once

#include <cstdint>

namespace q3vl {

struct RopeScaling {
  enum class Type {
    none,    ///< "default": frequencies as the model was trained with
    linear,  ///< every frequency divided by `factor`
    yarn,    ///< https://arxiv.org/abs/2309.00071: slow frequencies divided, fast ones kept, and a ramp between
  };

  Type type = Type::none;
  double factor = 1;
  double attention_factor = 1;  ///< multiplies cosines and sines
  // YaRN's ramp: frequencies that turn beta_slow times or less in the original context are divided, those that turn
  // beta_fast times or more are kept.
  double beta_fast = 32;
  double beta_slow = 1;
  bool truncate = true;  ///< the ramp begins and ends at whole frequencies
  std::int64_t original_max_position_embeddings = 0;

  bool operator==(const RopeScaling&) const = default;
};

}  // namespace q3vl
