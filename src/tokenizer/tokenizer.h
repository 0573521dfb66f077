// Texts to token ids and back, by a tokenizer.json with a byte-level vocabulary, as Hugging Face's tokenizers do it:
// docs/TOKENIZER.md has what is supported.
//
//   const Tokenizer tokenizer(package / "tokenizer.json");
//   std::vector<std::int64_t> ids = tokenizer.encode("<|im_start|>user\nHi<|im_end|>\n");
//   std::string text = tokenizer.decode(ids, false);
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/json.h"
#include "tokenizer/added_tokens.h"
#include "tokenizer/byte_level_bpe.h"
#include "tokenizer/pre_tokenizer.h"

namespace q3vl {

/// Calls of const functions may come from several threads.
class Tokenizer {
 public:
  /// Reads tokenizer.json. Throws Error(unsupported) for what it has that is not supported here, by its path in the
  /// document, and Error(bad_input) for a file that is damaged or contradicts itself.
  explicit Tokenizer(const std::filesystem::path& tokenizer_json);

  /// The same of its document; `origin` (its path) opens the messages.
  Tokenizer(const Json& document, const std::string& origin);

  /// The token ids of `text`, without any that it does not spell: added tokens, special ones too, where they stand in
  /// the text, and the tokens of the words between. What is no UTF-8 counts as U+FFFD (replace_ill_formed). Throws
  /// Error(bad_input) for a text of more than 256 MB, for one that the document's expressions take too long or too much
  /// memory to cut, and for a byte that the vocabulary does not have.
  std::vector<std::int64_t> encode(std::string_view text) const;

  /// The text of `ids`, in well-formed UTF-8: bytes that are no character become U+FFFD (replace_ill_formed), so that a
  /// sequence that stops inside a character ends in one. As in Hugging Face's tokenizers an id that no token has gives
  /// nothing: a model's vocabulary is often padded. Throws Error(bad_input) for an id below 0.
  std::string decode(std::span<const std::int64_t> ids, bool skip_special_tokens) const;

  /// The id of an added token by its content, or of the vocabulary's token that is written so in the byte alphabet.
  std::optional<std::int64_t> id_of(const std::string& token) const;

  /// The bytes that a token adds to a decoded text, not always whole characters; none for an id that no token has.
  /// Throws Error(bad_input) for an id below 0.
  std::string_view bytes_of(std::int64_t id, bool skip_special_tokens) const;

 private:
  struct Token {
    std::string bytes;
    bool special = false;
  };

  void add(const std::vector<AddedToken>& added);
  void encode_words(std::string_view text, PreTokenizer::Effort& effort, ByteLevelBpe::Scratch& scratch,
                    std::vector<std::int64_t>& ids) const;

  std::string origin_;
  ByteLevelBpe model_;
  TextNormalizer normalizer_;
  PreTokenizer pre_tokenizer_;
  std::unordered_map<std::string, std::int32_t> added_ids_;
  std::unordered_map<std::int32_t, Token> tokens_;
  std::optional<TokenFinder> verbatim_;    ///< of the tokens that are looked for in the text as it is
  std::optional<TokenFinder> normalized_;  ///< of those that are looked for in the normalised text
};

/// Token ids to text, one by one: a piece of text is handed out as soon as its characters are whole. All pieces
/// together are what Tokenizer::decode makes of all ids.
class StreamDecoder {
 public:
  /// `tokenizer` must outlive it.
  StreamDecoder(const Tokenizer& tokenizer, bool skip_special_tokens)
      : tokenizer_(&tokenizer), skip_special_tokens_(skip_special_tokens) {}

  /// The text that `id` completes: well-formed UTF-8, empty when a character is still open. Throws as
  /// Tokenizer::bytes_of.
  std::string append(std::int64_t id);

  /// The end of the text: U+FFFD if a character is still open, and nothing otherwise. Ready for another text
  /// afterwards.
  std::string finish();

 private:
  const Tokenizer* tokenizer_;
  bool skip_special_tokens_;
  std::string open_;  ///< the beginning of a character
};

}  // namespace q3vl
