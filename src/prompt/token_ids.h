// Token ids as users give them in JSON.
#pragma once

#include <cstdint>
#include <vector>

#include "base/json.h"
#include "config/model_config.h"

namespace q3vl {

/// "input_ids" of `sequence`: one id or more, each in the vocabulary. Fails as the object does, naming the place.
std::vector<std::int64_t> read_token_ids(const JsonObject& sequence, const TextConfig& text);

}  // namespace q3vl
