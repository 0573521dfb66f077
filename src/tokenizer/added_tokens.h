// Tokens that are looked for in a text before it is cut into words: special ones such as <|im_start|>, and others that
// were added to a vocabulary.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"

namespace q3vl {

/// One of tokenizer.json's `added_tokens`.
struct AddedToken {
  std::int32_t id;
  std::string content;
  bool special;      ///< left out of a decoded text, if that is asked for
  bool single_word;  ///< found only where no letter or digit is beside it
  bool lstrip;       ///< takes the white space before it with it
  bool rstrip;       ///< takes the white space after it with it
  bool normalized;   ///< looked for in the normalised text
};

/// Reads `added_tokens` of the document; there may be none. Throws Error(bad_input).
std::vector<AddedToken> read_added_tokens(const JsonObject& document);

/// A part of a text: an added token, or what is between two.
struct TextPart {
  std::string_view text;
  std::optional<std::int32_t> token;
};

/// Finds tokens by their content.
class TokenFinder {
 public:
  /// `tokens`, each with the text to look for, which is not empty.
  explicit TokenFinder(std::vector<std::pair<std::string, AddedToken>> tokens);

  /// Cuts `text`, well-formed UTF-8, at the tokens: the leftmost one first, of several that begin there the longest. No
  /// part is empty. The views are of `text`.
  std::vector<TextPart> split(std::string_view text) const;

 private:
  using Entry = std::pair<std::string, AddedToken>;
  const Entry* longest_at(std::string_view text) const;

  std::vector<Entry> entries_;                                        ///< by their texts, in order
  std::array<std::pair<std::size_t, std::size_t>, 256> first_bytes_;  ///< the entries that begin with a byte
};

}  // namespace q3vl
