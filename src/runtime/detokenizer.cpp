#include "runtime/detokenizer.h"

#include <fmt/format.h>

#include <array>
#include <limits>
#include <utility>

namespace q3vl {
namespace {

/// The byte-level alphabet writes each byte as one printable character: itself where it is one, otherwise the next of
/// the characters from U+0100 on. All are below U+0180, so one or two bytes of UTF-8.
/// Source: bytes_to_unicode of GPT-2, in Hugging Face tokenizers' ByteLevel.
constexpr std::size_t kAlphabetEnd = 0x180;

std::array<int, kAlphabetEnd> bytes_of_characters() {
  std::array<int, kAlphabetEnd> bytes;
  bytes.fill(-1);
  std::size_t next = 0x100;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    bytes[printable ? static_cast<std::size_t>(byte) : next++] = byte;
  }
  return bytes;
}

/// The bytes that a vocabulary entry (UTF-8) stands for. Throws Error(bad_input).
std::string decode_characters(const std::string& token, const std::string& origin) {
  static const std::array<int, kAlphabetEnd> bytes = bytes_of_characters();
  std::string text;
  for (std::size_t i = 0; i < token.size(); ++i) {
    std::size_t character = static_cast<unsigned char>(token[i]);
    const bool of_two = (character & 0xe0U) == 0xc0U && i + 1 < token.size();
    if (of_two)
      character = (character & 0x1fU) << 6 | (static_cast<unsigned char>(token[++i]) & 0x3fU);
    else if (character >= 0x80)
      character = kAlphabetEnd;  // one of three bytes or four is none of them
    const int byte = character < bytes.size() ? bytes[character] : -1;
    if (byte < 0)
      throw Error(ErrorKind::bad_input,
                  fmt::format("{}: the token \"{}\" is not written in the byte-level alphabet", origin, token));
    text.push_back(static_cast<char>(byte));
  }
  return text;
}

}  // namespace

Detokenizer::Detokenizer(const std::filesystem::path& tokenizer_json)
    : Detokenizer(read_json_file(tokenizer_json, kTokenizerJson), tokenizer_json.string()) {}

Detokenizer::Detokenizer(const Json& document, std::string origin) : origin_(std::move(origin)) {
  constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max();
  const JsonObject root(document, origin_);
  const JsonObject vocab = root.object("model").object("vocab");
  for (const auto& item : vocab.json().items())
    texts_[vocab.integer(item.key(), 0, most)] = decode_characters(item.key(), origin_);
  if (!root.has("added_tokens")) return;
  for (const Json& item : document.at("added_tokens")) {
    const JsonObject token(item, origin_, "added_tokens");
    texts_[token.integer("id", 0, most)] = token.boolean("special") ? "" : token.string("content");
  }
}

std::string Detokenizer::decode(std::span<const std::int64_t> ids) const {
  std::string text;
  for (const std::int64_t id : ids) {
    const auto found = texts_.find(id);
    if (found == texts_.end())
      throw Error(ErrorKind::bad_input, fmt::format("{}: has no token with the id {}", origin_, id));
    text += found->second;
  }
  return text;
}

}  // namespace q3vl
