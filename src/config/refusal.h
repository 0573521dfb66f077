// What the readers of config.json share.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <string>

#include "base/json.h"

namespace q3vl {

inline constexpr std::int64_t kMaxContext = (std::int64_t{1} << 31) - 1;  ///< clients count tokens in 32 bits

/// Throws Error(unsupported) with "<file>: <message>": the setting is sound, but not exported.
[[noreturn]] inline void unsupported(const JsonObject& object, const std::string& message) {
  throw Error(ErrorKind::unsupported, fmt::format("{}: {}", object.origin(), message));
}

}  // namespace q3vl
