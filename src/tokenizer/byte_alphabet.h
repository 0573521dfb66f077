// The alphabet in which byte-level vocabularies write bytes as printable characters: a space is "Ġ", é is "Ã©".
#pragma once

#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace q3vl {

/// The character, in UTF-8, of each byte. Source: bytes_to_unicode of GPT-2, in Hugging Face tokenizers' ByteLevel.
const std::array<std::string, 256>& byte_alphabet();

/// The bytes that `written`, UTF-8, stands for; nothing when it has a character outside of the alphabet.
std::optional<std::string> bytes_of_written(std::string_view written);

}  // namespace q3vl
