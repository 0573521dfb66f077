#include "tokenizer/tokenizer.h"

#include <fmt/format.h>

#include <limits>
#include <utility>

#include "tokenizer/byte_alphabet.h"
#include "tokenizer/utf8.h"

namespace q3vl {
namespace {

// ICU counts in 32 bits, and a text may grow threefold when it is normalised.
constexpr std::size_t kMaxTextBytes = 256U << 20;

/// Refuses what would add tokens to a text, or decode differently. Truncation and padding are what a caller asks for:
/// Hugging Face's encode() of a text does not take them from the file.
void refuse_other_documents(const JsonObject& document) {
  const auto expect_byte_level = [&](const char* part, const char* expected) {
    const JsonObject object = document.object(part);
    if (object.string("type") == "ByteLevel") return;
    throw Error(ErrorKind::unsupported,
                fmt::format("{}: {} is {}, expected {}", document.origin(), object.path_of("type"),
                            describe(object.json().at("type")), expected));
  };
  JsonObject(document.json(), document.origin(), "", ErrorKind::unsupported)
      .expect_only({"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor",
                    "decoder", "model"});
  if (document.has("post_processor"))
    expect_byte_level("post_processor", "\"ByteLevel\" or no post_processor: another may add tokens");
  expect_byte_level("decoder", "\"ByteLevel\"");
}

JsonObject root_of(const Json& document, const std::string& origin) {
  JsonObject root(document, origin);
  refuse_other_documents(root);
  return root;
}

}  // namespace

Tokenizer::Tokenizer(const std::filesystem::path& tokenizer_json)
    : Tokenizer(read_json_file(tokenizer_json, kTokenizerJson), tokenizer_json.string()) {}

Tokenizer::Tokenizer(const Json& document, const std::string& origin)
    : origin_(origin),
      model_(root_of(document, origin).object("model")),
      normalizer_(JsonObject(document, origin)),
      pre_tokenizer_(JsonObject(document, origin)) {
  tokens_.reserve(model_.vocabulary().size());
  for (const auto& [written, id] : model_.vocabulary()) {
    std::optional<std::string> bytes = bytes_of_written(written);
    if (!bytes)
      throw Error(ErrorKind::bad_input,
                  fmt::format("{}: the token \"{}\" is not written in the byte-level alphabet", origin_, written));
    tokens_[id].bytes = std::move(*bytes);
  }
  add(read_added_tokens(JsonObject(document, origin)));
}

void Tokenizer::add(const std::vector<AddedToken>& added) {
  std::vector<std::pair<std::string, AddedToken>> verbatim, normalized;
  for (const AddedToken& token : added) {
    if (!added_ids_.emplace(token.content, token.id).second)
      throw Error(ErrorKind::bad_input, fmt::format("{}: added_tokens has \"{}\" twice", origin_, token.content));
    const auto in_vocabulary = model_.vocabulary().find(token.content);
    if (in_vocabulary != model_.vocabulary().end() && in_vocabulary->second != token.id)
      throw Error(ErrorKind::bad_input, fmt::format("{}: \"{}\" has the id {} in added_tokens and {} in model.vocab",
                                                    origin_, token.content, token.id, in_vocabulary->second));
    if (in_vocabulary == model_.vocabulary().end() && tokens_.contains(token.id))
      throw Error(ErrorKind::bad_input, fmt::format("{}: the added token \"{}\" has the id {}, as another token has",
                                                    origin_, token.content, token.id));
    // As in Hugging Face's ByteLevel decoder, a token that happens to be written in the alphabet is taken for that.
    tokens_[token.id] = {bytes_of_written(token.content).value_or(token.content), token.special};
    if (token.normalized)
      normalized.emplace_back(normalizer_(token.content), token);
    else
      verbatim.emplace_back(token.content, token);
  }
  verbatim_.emplace(std::move(verbatim));
  normalized_.emplace(std::move(normalized));
}

std::vector<std::int64_t> Tokenizer::encode(std::string_view text) const {
  if (text.size() > kMaxTextBytes)
    throw Error(ErrorKind::bad_input, fmt::format("a text of {} bytes is too long to encode, expected {} at most",
                                                  text.size(), kMaxTextBytes));
  const std::string well_formed = replace_ill_formed(text);
  PreTokenizer::Effort effort(text.size());
  ByteLevelBpe::Scratch scratch;
  std::vector<std::int64_t> ids;
  for (const TextPart& part : verbatim_->split(well_formed)) {
    if (part.token) {
      ids.push_back(*part.token);
      continue;
    }
    const std::string normal = normalizer_(part.text);
    for (const TextPart& piece : normalized_->split(normal)) {
      if (piece.token)
        ids.push_back(*piece.token);
      else
        encode_words(piece.text, effort, scratch, ids);
    }
  }
  return ids;
}

void Tokenizer::encode_words(std::string_view text, PreTokenizer::Effort& effort, ByteLevelBpe::Scratch& scratch,
                             std::vector<std::int64_t>& ids) const {
  const Words words = pre_tokenizer_.split(text, effort);
  // Most words of a text come again: where the tokens of each stand among the ids, first and number.
  std::unordered_map<std::string_view, std::pair<std::size_t, std::size_t>> seen;
  for (const auto& [begin, length] : words.ranges) {
    const std::string_view word = std::string_view(words.text).substr(begin, length);
    const auto [entry, is_new] = seen.try_emplace(word, ids.size(), 0);
    auto& [first, count] = entry->second;
    if (is_new) {
      model_.encode(word, scratch, ids);
      count = ids.size() - first;
    } else {
      for (std::size_t i = 0; i < count; ++i) ids.push_back(ids[first + i]);
    }
  }
}

std::string_view Tokenizer::bytes_of(std::int64_t id, bool skip_special_tokens) const {
  if (id < 0) throw Error(ErrorKind::bad_input, fmt::format("{}: has no token with the id {}", origin_, id));
  if (id > std::numeric_limits<std::int32_t>::max()) return {};
  const auto found = tokens_.find(static_cast<std::int32_t>(id));
  if (found == tokens_.end() || (skip_special_tokens && found->second.special)) return {};
  return found->second.bytes;
}

std::string Tokenizer::decode(std::span<const std::int64_t> ids, bool skip_special_tokens) const {
  std::string bytes;
  for (const std::int64_t id : ids) bytes += bytes_of(id, skip_special_tokens);
  return replace_ill_formed(bytes);
}

std::optional<std::int64_t> Tokenizer::id_of(const std::string& token) const {
  if (const auto added = added_ids_.find(token); added != added_ids_.end()) return added->second;
  const auto found = model_.vocabulary().find(token);
  if (found == model_.vocabulary().end()) return std::nullopt;
  return found->second;
}

std::string StreamDecoder::append(std::int64_t id) {
  open_ += tokenizer_->bytes_of(id, skip_special_tokens_);
  std::size_t whole = 0;
  while (whole < open_.size()) {
    const Utf8Step step = utf8_step(std::string_view(open_).substr(whole));
    if (step.kind == Utf8Step::Kind::incomplete) break;
    whole += step.length;
  }
  std::string text = replace_ill_formed(std::string_view(open_).substr(0, whole));
  open_.erase(0, whole);
  return text;
}

std::string StreamDecoder::finish() {
  return replace_ill_formed(std::exchange(open_, {}));
}

}  // namespace q3vl
