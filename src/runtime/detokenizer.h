// Token ids back to text, by a tokenizer.json with a byte-level vocabulary.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <unordered_map>

#include "base/json.h"

namespace q3vl {

class Detokenizer {
 public:
  /// Reads the vocabulary (`model.vocab`) and the added tokens. Throws Error(bad_input).
  explicit Detokenizer(const std::filesystem::path& tokenizer_json);

  /// The same of its document; `origin` (its path) opens the messages.
  Detokenizer(const Json& document, std::string origin);

  /// The text of `ids`, without special tokens such as <|im_end|>. A sequence that stops inside a character ends in an
  /// incomplete UTF-8 sequence. Throws Error(bad_input) for an id that the tokenizer does not have.
  std::string decode(std::span<const std::int64_t> ids) const;

 private:
  std::unordered_map<std::int64_t, std::string> texts_;  ///< the bytes of each token; empty for special ones
  std::string origin_;
};

}  // namespace q3vl
