// Text that may not be UTF-8, character by character.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace q3vl {

/// What a text begins with.
struct Utf8Step {
  enum class Kind {
    character,   ///< a well-formed character
    ill_formed,  ///< bytes that no character begins with, however they go on
    incomplete,  ///< the text ends inside a character
  };
  Kind kind;
  std::size_t length;  ///< in bytes, 1 or more
};

/// The first character of `text`, which is not empty, or else the longest beginning that a character could have had
/// (the "maximal subpart" of the Unicode Standard, 3.9), or one byte.
Utf8Step utf8_step(std::string_view text);

/// The code point of the well-formed character that `text` begins with.
char32_t code_point(std::string_view text);

/// `text` with U+FFFD for each ill-formed or incomplete sequence that utf8_step() finds: what Python makes of bytes
/// with errors="replace", and Rust's String::from_utf8_lossy. The result is well-formed UTF-8.
std::string replace_ill_formed(std::string_view text);

}  // namespace q3vl
