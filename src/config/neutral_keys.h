// Keys of config.json that change what a model computes and that this program does not know how to compute.
#pragma once

#include <span>
#include <string_view>

#include "base/json.h"

namespace q3vl {

/// A key, and the value with which it changes nothing.
struct NeutralKey {
  enum class Value { off, one };  ///< false, null, 0 or an empty array; 1 or null
  std::string_view key;
  Value neutral;
};

/// Keys that other architectures' configs have and people paste into this one's: biases, soft caps, multipliers,
/// windows.
std::span<const NeutralKey> text_neutral_keys();
std::span<const NeutralKey> vision_neutral_keys();

/// Throws Error(unsupported) for a key of `keys` that `object` has with another value than its neutral one.
void expect_neutral(const JsonObject& object, std::span<const NeutralKey> keys);

}  // namespace q3vl
