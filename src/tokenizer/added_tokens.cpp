#include "tokenizer/added_tokens.h"

#include <fmt/format.h>
#include <unicode/uchar.h>

#include <algorithm>
#include <functional>
#include <limits>

#include "tokenizer/utf8.h"

namespace q3vl {
namespace {

// Far above every published one. Looking for tokens takes time by the longest.
constexpr std::size_t kMaxAddedTokenBytes = 4096;

/// The last character of well-formed text that is not empty.
std::string_view last_character(std::string_view text) {
  std::size_t begin = text.size() - 1;
  while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xc0U) == 0x80U) --begin;
  return text.substr(begin);
}

/// \w of Rust's regex, which Hugging Face's tokenizers use here (Unicode Technical Standard 18, annex C).
bool is_word_character(std::string_view character) {
  const auto point = static_cast<UChar32>(code_point(character));
  return u_hasBinaryProperty(point, UCHAR_ALPHABETIC) || u_hasBinaryProperty(point, UCHAR_JOIN_CONTROL) ||
         (U_GET_GC_MASK(point) & (U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK)) != 0;
}

bool is_alone(std::string_view text, std::size_t begin, std::size_t end) {
  return (begin == 0 || !is_word_character(last_character(text.substr(0, begin)))) &&
         (end == text.size() || !is_word_character(text.substr(end)));
}

bool is_white_space(std::string_view character) {
  return u_isUWhiteSpace(static_cast<UChar32>(code_point(character))) != 0;
}

std::size_t skip_space_before(std::string_view text, std::size_t position) {
  while (position > 0) {
    const std::string_view character = last_character(text.substr(0, position));
    if (!is_white_space(character)) break;
    position -= character.size();
  }
  return position;
}

std::size_t skip_space_after(std::string_view text, std::size_t position) {
  while (position < text.size() && is_white_space(text.substr(position)))
    position += utf8_step(text.substr(position)).length;
  return position;
}

}  // namespace

std::vector<AddedToken> read_added_tokens(const JsonObject& document) {
  std::vector<AddedToken> tokens;
  if (!document.has("added_tokens")) return tokens;
  const Json& items = document.json().at("added_tokens");
  if (!items.is_array()) document.fail(fmt::format("added_tokens is {}, expected an array", describe(items)));
  for (const Json& item : items) {
    const JsonObject token(item, document.origin(), fmt::format("added_tokens[{}]", tokens.size()));
    const auto flag = [&](const char* key) { return token.has(key) && token.boolean(key); };
    AddedToken read{.id = static_cast<std::int32_t>(token.integer("id", 0, std::numeric_limits<std::int32_t>::max())),
                    .content = token.string("content"),
                    .special = flag("special"),
                    .single_word = flag("single_word"),
                    .lstrip = flag("lstrip"),
                    .rstrip = flag("rstrip"),
                    .normalized = flag("normalized")};
    if (read.content.empty() || read.content.size() > kMaxAddedTokenBytes)
      token.fail(fmt::format("{} has {} bytes, expected 1 to {}", token.path_of("content"), read.content.size(),
                             kMaxAddedTokenBytes));
    tokens.push_back(std::move(read));
  }
  return tokens;
}

TokenFinder::TokenFinder(std::vector<Entry> tokens) : entries_(std::move(tokens)), first_bytes_{} {
  std::sort(entries_.begin(), entries_.end(), [](const Entry& a, const Entry& b) { return a.first < b.first; });
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    auto& [begin, end] = first_bytes_[static_cast<unsigned char>(entries_[i].first[0])];
    if (begin == end) begin = i;
    end = i + 1;
  }
}

/// The longest entry that `text`, which is not empty, begins with. Of the entries that begin as the text does, one byte
/// more each time, the first is the shortest: it is that beginning itself, or none is.
const TokenFinder::Entry* TokenFinder::longest_at(std::string_view text) const {
  std::size_t begin = first_bytes_[static_cast<unsigned char>(text[0])].first;
  std::size_t end = first_bytes_[static_cast<unsigned char>(text[0])].second;
  const Entry* longest = nullptr;
  for (std::size_t length = 1; begin < end; ++length) {
    if (entries_[begin].first.size() == length) longest = &entries_[begin++];
    if (length == text.size()) break;
    const auto next = static_cast<unsigned char>(text[length]);
    // The first entry from `begin` on whose next byte is not `below` the text's.
    const auto bound = [&](auto below) {
      const auto first = entries_.begin() + static_cast<std::ptrdiff_t>(begin);
      const auto last = entries_.begin() + static_cast<std::ptrdiff_t>(end);
      const auto found = std::partition_point(first, last, [&](const Entry& entry) {
        return below(static_cast<unsigned char>(entry.first[length]), next);
      });
      return static_cast<std::size_t>(found - entries_.begin());
    };
    begin = bound(std::less<>());
    end = bound(std::less_equal<>());
  }
  return longest;
}

std::vector<TextPart> TokenFinder::split(std::string_view text) const {
  std::vector<TextPart> parts;
  std::size_t done = 0;  // what lies before is in parts
  for (std::size_t at = 0; at < text.size();) {
    const Entry* entry = longest_at(text.substr(at));
    if (entry == nullptr) {
      ++at;
      continue;
    }
    std::size_t begin = at;
    std::size_t end = at + entry->first.size();
    at = end;
    const AddedToken& token = entry->second;
    if (token.single_word && !is_alone(text, begin, end)) continue;
    if (token.lstrip) begin = std::max(skip_space_before(text, begin), done);
    if (token.rstrip) end = skip_space_after(text, end);
    if (done < begin) parts.push_back({text.substr(done, begin - done), std::nullopt});
    parts.push_back({text.substr(begin, end - begin), token.id});
    done = end;
  }
  if (done < text.size()) parts.push_back({text.substr(done), std::nullopt});
  return parts;
}

}  // namespace q3vl
