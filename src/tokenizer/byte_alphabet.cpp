#include "tokenizer/byte_alphabet.h"

#include <cstddef>

namespace q3vl {
namespace {

/// All characters of the alphabet are below, so they are one or two bytes of UTF-8.
constexpr unsigned kAlphabetEnd = 0x180;

/// A byte is written as itself where that is a printable character, otherwise as the next one from U+0100 on.
std::array<unsigned, 256> alphabet_code_points() {
  std::array<unsigned, 256> points;
  unsigned next = 0x100;
  for (unsigned byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    points[byte] = printable ? byte : next++;
  }
  return points;
}

/// The byte of a code point; -1 for one outside of the alphabet.
const std::array<int, kAlphabetEnd>& alphabet_bytes() {
  static const std::array<int, kAlphabetEnd> table = [] {
    std::array<int, kAlphabetEnd> bytes;
    bytes.fill(-1);
    const std::array<unsigned, 256> points = alphabet_code_points();
    for (std::size_t byte = 0; byte < points.size(); ++byte) bytes[points[byte]] = static_cast<int>(byte);
    return bytes;
  }();
  return table;
}

}  // namespace

const std::array<std::string, 256>& byte_alphabet() {
  static const std::array<std::string, 256> table = [] {
    std::array<std::string, 256> characters;
    const std::array<unsigned, 256> points = alphabet_code_points();
    for (std::size_t byte = 0; byte < points.size(); ++byte) {
      const unsigned point = points[byte];
      if (point >= 0x80) characters[byte].push_back(static_cast<char>(0xc0U | point >> 6));
      characters[byte].push_back(static_cast<char>(point < 0x80 ? point : 0x80U | (point & 0x3fU)));
    }
    return characters;
  }();
  return table;
}

std::optional<std::string> bytes_of_written(std::string_view written) {
  const std::array<int, kAlphabetEnd>& bytes = alphabet_bytes();
  std::string text;
  for (std::size_t i = 0; i < written.size(); ++i) {
    unsigned point = static_cast<unsigned char>(written[i]);
    const bool of_two = (point & 0xe0U) == 0xc0U && i + 1 < written.size();
    if (of_two)
      point = (point & 0x1fU) << 6 | (static_cast<unsigned char>(written[++i]) & 0x3fU);
    else if (point >= 0x80)
      return std::nullopt;  // one of three bytes or four
    if (point >= kAlphabetEnd || bytes[point] < 0) return std::nullopt;
    text.push_back(static_cast<char>(bytes[point]));
  }
  return text;
}

}  // namespace q3vl
