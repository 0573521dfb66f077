#include "tokenizer/pre_tokenizer.h"

#include <fmt/format.h>
#include <unicode/normalizer2.h>
#include <unicode/regex.h>
#include <unicode/unistr.h>

#include <algorithm>
#include <cstdint>

namespace q3vl {
namespace {

/// How GPT-2 cuts words: what ByteLevel does of itself, in Hugging Face's tokenizers.
constexpr const char* kGpt2Words = R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

constexpr std::size_t kMaxPatternBytes = 10'000;
constexpr std::int32_t kMatcherStackBytes = 64 << 20;

// ICU asks whether to go on each time its engine has kept so many states to come back to.
constexpr long long kStatesAStep = 10'000;
// Qwen's expression keeps fewer than ten a character.
constexpr long long kStatesAByte = 100;
constexpr long long kLeastSteps = 500;

/// A range of a text in UTF-16.
struct Utf16Range {
  std::int32_t begin;
  std::int32_t end;
};

/// The first construct of `pattern` that Oniguruma, which Hugging Face's tokenizers use, and ICU read differently, or
/// that has not been compared; empty when there is none.
std::string unsupported_construct(std::string_view pattern) {
  constexpr std::string_view escapes = "pPsSdDrntfxu";
  const auto starts = [&](std::size_t at, std::string_view what) { return pattern.substr(at).starts_with(what); };
  int sets = 0;  // that are open
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    const char c = pattern[i];
    if (c == '\\') {
      ++i;
      if (i == pattern.size()) return "\\";
      const char escaped = pattern[i];
      const bool letter = (escaped >= 'a' && escaped <= 'z') || (escaped >= 'A' && escaped <= 'Z');
      const bool digit = escaped >= '0' && escaped <= '9';
      if (digit || (letter && escapes.find(escaped) == std::string_view::npos)) return {'\\', escaped};
      // Of \p{L} and \x{1f} the braces are no repetition's.
      if (starts(i + 1, "{") && (escaped == 'p' || escaped == 'P' || escaped == 'x'))
        i = std::min(pattern.find('}', i), pattern.size());
    } else if (c == '[') {
      if (starts(i, "[:")) return "[:";
      ++sets;
      if (starts(i, "[]") || starts(i, "[^]")) return "[]";  // a set that holds ], or one that is empty
    } else if (c == ']' && sets > 0) {
      --sets;
    } else if (sets > 0) {
      if (starts(i, "&&")) return "&&";
      if (starts(i, "--")) return "--";
    } else if (starts(i, "(?")) {
      const bool known = starts(i, "(?:") || starts(i, "(?=") || starts(i, "(?!") || starts(i, "(?>") ||
                         starts(i, "(?<=") || starts(i, "(?<!") || starts(i, "(?i:");
      if (!known) return std::string(pattern.substr(i, 3));
    } else if (starts(i, "}+")) {
      return "}+";  // possessive for the one, a repetition repeated for the other
    }
  }
  return "";
}

/// An expression that matches `text` itself.
std::string quoted(const std::string& text) {
  std::string pattern;
  const icu::UnicodeString characters = icu::UnicodeString::fromUTF8(text);
  for (std::int32_t i = 0; i < characters.length(); i = characters.moveIndex32(i, 1))
    pattern += fmt::format("\\x{{{:x}}}", static_cast<std::uint32_t>(characters.char32At(i)));
  return pattern;
}

/// Compiles `pattern`, which stands at `path`. As in Oniguruma's Ruby syntax, ^ and $ are at every line's ends, and a
/// line ends with a line feed alone.
std::unique_ptr<icu::RegexPattern> compile(const std::string& pattern, const std::string& origin,
                                           const std::string& path) {
  if (pattern.empty() || pattern.size() > kMaxPatternBytes)
    throw Error(ErrorKind::unsupported, fmt::format("{}: {} has {} bytes, expected an expression of 1 to {}", origin,
                                                    path, pattern.size(), kMaxPatternBytes));
  if (const std::string construct = unsupported_construct(pattern); !construct.empty())
    throw Error(ErrorKind::unsupported,
                fmt::format("{}: {} uses {}, which ICU may read differently than the tokenizers of Hugging Face do",
                            origin, path, describe(construct)));
  UErrorCode status = U_ZERO_ERROR;
  UParseError where{};
  std::unique_ptr<icu::RegexPattern> compiled(icu::RegexPattern::compile(
      icu::UnicodeString::fromUTF8(pattern), UREGEX_MULTILINE | UREGEX_UNIX_LINES, where, status));
  if (U_FAILURE(status))
    throw Error(ErrorKind::bad_input, fmt::format("{}: {} is no regular expression: {} at its character {}", origin,
                                                  path, u_errorName(status), where.offset));
  return compiled;
}

[[noreturn]] void refuse_step(const JsonObject& step, const char* key, std::string_view expected) {
  throw Error(ErrorKind::unsupported, fmt::format("{}: {} is {}, expected {}", step.origin(), step.path_of(key),
                                                  step.has(key) ? describe(step.json().at(key)) : "missing", expected));
}

UBool may_go_on(const void* effort, std::int32_t /*steps*/) {
  return --const_cast<PreTokenizer::Effort*>(static_cast<const PreTokenizer::Effort*>(effort))->left > 0 ? 1 : 0;
}

/// The bytes of UTF-8 that a unit of well-formed UTF-16 stands for, a pair's all at its first.
std::size_t utf8_bytes(char16_t unit) {
  if (unit < 0x80) return 1;
  if (unit < 0x800) return 2;
  if (unit >= 0xd800 && unit < 0xdc00) return 4;
  if (unit >= 0xdc00 && unit < 0xe000) return 0;
  return 3;
}

/// Each range of `text` as a text of its own, with a space before it if it has none.
icu::UnicodeString with_spaces(const icu::UnicodeString& text, std::vector<Utf16Range>& ranges) {
  icu::UnicodeString spaced;
  for (Utf16Range& range : ranges) {
    const std::int32_t begin = spaced.length();
    if (text.charAt(range.begin) != u' ') spaced.append(u' ');
    spaced.append(text, range.begin, range.end - range.begin);
    range = {begin, spaced.length()};
  }
  return spaced;
}

/// The ranges in which `matcher` finds something and those between, as far as they are wanted and not empty; nothing
/// when ICU gave up, with the reason in `status`.
std::vector<Utf16Range> cut(icu::RegexMatcher& matcher, const std::vector<Utf16Range>& ranges, bool matches,
                            bool others, UErrorCode& status) {
  std::vector<Utf16Range> pieces;
  const auto keep = [&](std::int32_t begin, std::int32_t end, bool wanted) {
    if (wanted && begin < end) pieces.push_back({begin, end});
  };
  for (const Utf16Range& range : ranges) {
    std::int32_t done = range.begin;
    matcher.region(range.begin, range.end, status);
    while (matcher.find(status)) {
      const std::int32_t begin = matcher.start(status);
      const std::int32_t end = matcher.end(status);
      keep(done, begin, others);
      keep(begin, end, matches);
      done = end;
    }
    if (U_FAILURE(status)) return {};
    keep(done, range.end, others);
  }
  return pieces;
}

}  // namespace

TextNormalizer::TextNormalizer(const JsonObject& document) : nfc_(document.has("normalizer")) {
  if (!nfc_) return;
  const JsonObject normalizer = document.object("normalizer");
  if (normalizer.string("type") != "NFC") refuse_step(normalizer, "type", "\"NFC\", or no normalizer");
}

std::string TextNormalizer::operator()(std::string_view text) const {
  std::string normalized;
  if (!nfc_) return normalized = text;
  UErrorCode status = U_ZERO_ERROR;
  const icu::Normalizer2* nfc = icu::Normalizer2::getNFCInstance(status);
  if (U_SUCCESS(status)) {
    icu::StringByteSink<std::string> sink(&normalized, static_cast<std::int32_t>(text.size()));
    nfc->normalizeUTF8(0, icu::StringPiece(text.data(), static_cast<std::int32_t>(text.size())), sink, nullptr, status);
  }
  if (U_FAILURE(status))
    throw Error(ErrorKind::internal, fmt::format("ICU cannot normalise a text: {}", u_errorName(status)));
  return normalized;
}

struct PreTokenizer::Step {
  std::unique_ptr<icu::RegexPattern> pattern;  ///< none: a space goes before what begins without one
  std::string path;                            ///< of the pattern in the document
  bool matches = true;                         ///< whether what matches the pattern stays
  bool others = true;                          ///< whether what is between matches stays
};

PreTokenizer::PreTokenizer(PreTokenizer&&) noexcept = default;
PreTokenizer::~PreTokenizer() = default;

PreTokenizer::PreTokenizer(const JsonObject& document) : origin_(document.origin()) {
  if (!document.has("pre_tokenizer"))
    refuse_step(document, "pre_tokenizer", "ByteLevel, or a Sequence with ByteLevel at its end");
  const JsonObject root = document.object("pre_tokenizer");
  if (root.string("type") != "Sequence") {
    add(root, true);
    return;
  }
  const Json& items = root.json().contains("pretokenizers") ? root.json().at("pretokenizers") : Json();
  if (!items.is_array() || items.empty()) refuse_step(root, "pretokenizers", "an array that ends with ByteLevel");
  for (std::size_t i = 0; i < items.size(); ++i)
    add(JsonObject(items[i], origin_, fmt::format("{}[{}]", root.path_of("pretokenizers"), i)), i + 1 == items.size());
}

void PreTokenizer::add(const JsonObject& step, bool last) {
  const std::string type = step.string("type");
  if (last ? type != "ByteLevel" : type != "Split")
    refuse_step(step, "type", last ? "\"ByteLevel\" at the end" : "\"Split\" before the end");
  if (last)
    add_byte_level(step);
  else
    add_split(step);
}

void PreTokenizer::add_split(const JsonObject& step) {
  const JsonObject pattern = step.object("pattern");
  const std::string behavior = step.string("behavior");
  const bool removed = behavior == "Removed";
  if (!removed && behavior != "Isolated") refuse_step(step, "behavior", "\"Isolated\" or \"Removed\"");
  const bool invert = step.has("invert") && step.boolean("invert");
  const char* kind = pattern.has("String") ? "String" : "Regex";
  const std::string text = pattern.string(kind);
  steps_.push_back({.pattern = compile(pattern.has("String") ? quoted(text) : text, origin_, pattern.path_of(kind)),
                    .path = pattern.path_of(kind),
                    .matches = !removed || invert,
                    .others = !removed || !invert});
}

/// Its alphabet is ByteLevelBpe's, and trim_offsets changes where tokens lie in a text, not which they are.
void PreTokenizer::add_byte_level(const JsonObject& step) {
  if (step.has("add_prefix_space") && step.boolean("add_prefix_space")) steps_.emplace_back();
  if (!step.has("use_regex") || step.boolean("use_regex"))
    steps_.push_back({.pattern = compile(kGpt2Words, origin_, step.path_of("use_regex")),
                      .path = step.path_of("use_regex"),
                      .matches = true,
                      .others = true});
}

PreTokenizer::Effort::Effort(std::size_t bytes)
    : left(kLeastSteps + static_cast<long long>(bytes) * kStatesAByte / kStatesAStep) {}

Words PreTokenizer::split(std::string_view text, Effort& effort) const {
  icu::UnicodeString units =
      icu::UnicodeString::fromUTF8(icu::StringPiece(text.data(), static_cast<std::int32_t>(text.size())));
  std::vector<Utf16Range> ranges{{0, units.length()}};
  for (const Step& step : steps_) {
    if (!step.pattern) {
      units = with_spaces(units, ranges);
      continue;
    }
    UErrorCode status = U_ZERO_ERROR;
    const std::unique_ptr<icu::RegexMatcher> matcher(step.pattern->matcher(units, status));
    if (U_SUCCESS(status)) {
      matcher->setStackLimit(kMatcherStackBytes, status);
      matcher->setMatchCallback(may_go_on, &effort, status);
      ranges = cut(*matcher, ranges, step.matches, step.others, status);
    }
    if (status == U_REGEX_STOPPED_BY_CALLER || status == U_REGEX_STACK_OVERFLOW)
      throw Error(
          ErrorKind::bad_input,
          fmt::format("{}: {} takes too {} to match on a text of {} bytes; it may match in very many ways", origin_,
                      step.path, status == U_REGEX_STACK_OVERFLOW ? "much memory" : "long", text.size()));
    if (U_FAILURE(status))
      throw Error(ErrorKind::internal, fmt::format("ICU cannot match {}: {}", step.path, u_errorName(status)));
  }
  Words words;
  units.toUTF8String(words.text);
  words.ranges.reserve(ranges.size());
  std::int32_t unit = 0;
  std::size_t byte = 0;
  const auto advance = [&](std::int32_t to) {
    for (; unit < to; ++unit) byte += utf8_bytes(units.charAt(unit));
    return byte;
  };
  for (const Utf16Range& range : ranges) {
    const std::size_t begin = advance(range.begin);
    words.ranges.emplace_back(begin, advance(range.end) - begin);
  }
  return words;
}

}  // namespace q3vl
