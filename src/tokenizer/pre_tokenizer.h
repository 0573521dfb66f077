// What happens to a text before byte-pair encoding: it is normalised, and cut into words.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json.h"

namespace q3vl {

/// The `normalizer` of tokenizer.json.
class TextNormalizer {
 public:
  /// Throws Error(unsupported) for another one than NFC or none.
  explicit TextNormalizer(const JsonObject& document);

  /// `text`, well-formed UTF-8, in normalisation form C, if that is the normaliser.
  std::string operator()(std::string_view text) const;

 private:
  bool nfc_;
};

/// A text and where its words lie in it, in order.
struct Words {
  std::string text;                                         ///< UTF-8
  std::vector<std::pair<std::size_t, std::size_t>> ranges;  ///< first byte and length, which is not 0
};

/// The `pre_tokenizer` of tokenizer.json.
class PreTokenizer {
 public:
  /// Throws Error(unsupported) for another one than ByteLevel or a Sequence of Splits with ByteLevel at its end, and
  /// for a regular expression that is not read here as it is in Hugging Face's tokenizers; Error(bad_input) for one
  /// that is none.
  explicit PreTokenizer(const JsonObject& document);
  PreTokenizer(PreTokenizer&&) noexcept;
  ~PreTokenizer();

  /// How long the expressions may look for words in a text of `bytes`, in steps of ICU's matching engine: for all the
  /// calls of split() for one text.
  struct Effort {
    explicit Effort(std::size_t bytes);
    long long left;
  };

  /// The words of `text`, well-formed UTF-8 of 256 MB at most. Throws Error(bad_input) when an expression takes longer
  /// than `effort` allows or more than 64 MB of memory.
  Words split(std::string_view text, Effort& effort) const;

 private:
  struct Step;

  void add(const JsonObject& step, bool last);
  void add_split(const JsonObject& step);
  void add_byte_level(const JsonObject& step);

  std::string origin_;
  std::vector<Step> steps_;
};

}  // namespace q3vl
