#include "prompt/token_ids.h"

#include <fmt/format.h>

namespace q3vl {

std::vector<std::int64_t> read_token_ids(const JsonObject& sequence, const TextConfig& text) {
  const std::string path = sequence.path_of("input_ids");
  if (!sequence.has("input_ids")) sequence.fail(fmt::format("{} is missing", path));
  const Json& values = sequence.json().at("input_ids");
  if (!values.is_array() || values.empty())
    sequence.fail(fmt::format("{} is {}, expected an array of token ids", path,
                              values.is_array() ? "an empty array" : describe(values)));
  std::vector<std::int64_t> ids;
  for (const Json& value : values) {
    if (!value.is_number_unsigned() || value.get<std::uint64_t>() >= static_cast<std::uint64_t>(text.vocab_size))
      sequence.fail(fmt::format("{}[{}] is {}, expected a token id from 0 to {}", path, ids.size(), describe(value),
                                text.vocab_size - 1));
    ids.push_back(value.get<std::int64_t>());
  }
  return ids;
}

}  // namespace q3vl
