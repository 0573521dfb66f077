#include "tokenizer/utf8.h"

namespace q3vl {
namespace {

constexpr std::string_view kReplacementCharacter = "\xef\xbf\xbd";

/// What may follow a lead byte: so many bytes, the first of them in a range. Source: table 3-7 of the Unicode Standard.
struct Continuation {
  std::size_t bytes;
  unsigned char least = 0x80;
  unsigned char most = 0xbf;
};

/// For bytes from 0x80 on; no bytes after one that leads nothing.
Continuation continuation_of(unsigned char lead) {
  if (lead < 0xc2 || lead > 0xf4) return {0};
  if (lead < 0xe0) return {1};
  if (lead == 0xe0) return {2, 0xa0};
  if (lead == 0xed) return {2, 0x80, 0x9f};  // above are the surrogates
  if (lead < 0xf0) return {2};
  if (lead == 0xf0) return {3, 0x90};
  if (lead == 0xf4) return {3, 0x80, 0x8f};  // above is nothing
  return {3};
}

}  // namespace

Utf8Step utf8_step(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text[0]);
  if (lead < 0x80) return {Utf8Step::Kind::character, 1};
  Continuation expected = continuation_of(lead);
  if (expected.bytes == 0) return {Utf8Step::Kind::ill_formed, 1};
  for (std::size_t i = 1; i <= expected.bytes; ++i) {
    if (i == text.size()) return {Utf8Step::Kind::incomplete, i};
    const auto byte = static_cast<unsigned char>(text[i]);
    if (byte < expected.least || byte > expected.most) return {Utf8Step::Kind::ill_formed, i};
    expected.least = 0x80;
    expected.most = 0xbf;
  }
  return {Utf8Step::Kind::character, expected.bytes + 1};
}

char32_t code_point(std::string_view text) {
  const std::size_t length = utf8_step(text).length;
  constexpr unsigned masks[] = {0, 0x7f, 0x1f, 0x0f, 0x07};  // of the bits that a lead byte gives, by the length
  char32_t point = static_cast<unsigned char>(text[0]) & masks[length];
  for (std::size_t i = 1; i < length; ++i) point = point << 6 | (static_cast<unsigned char>(text[i]) & 0x3fU);
  return point;
}

std::string replace_ill_formed(std::string_view text) {
  std::string replaced;
  replaced.reserve(text.size());
  while (!text.empty()) {
    const Utf8Step step = utf8_step(text);
    replaced += step.kind == Utf8Step::Kind::character ? text.substr(0, step.length) : kReplacementCharacter;
    text.remove_prefix(step.length);
  }
  return replaced;
}

}  // namespace q3vl
