#include "tokenizer/byte_level_bpe.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <unordered_set>

#include "tokenizer/byte_alphabet.h"

namespace q3vl {
namespace {

constexpr std::int32_t kNoToken = -1;

/// Refuses what byte-level BPE of Qwen's kind does not have. Dropout is a training's; unk_token and fuse_unk mean
/// nothing where every byte is a token, which encode() insists on.
void refuse_other_models(const JsonObject& model) {
  const auto refuse = [&](const char* key, const char* expected) {
    throw Error(ErrorKind::unsupported, fmt::format("{}: {} is {}, expected {}", model.origin(), model.path_of(key),
                                                    describe(model.json().at(key)), expected));
  };
  if (model.string("type") != "BPE") refuse("type", "\"BPE\"");
  if (model.has("dropout") && model.json().at("dropout") != 0) refuse("dropout", "null or 0");
  for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"})
    if (model.has(affix) && model.json().at(affix) != "")
      refuse(affix, "null or \"\", as byte-level vocabularies have");
  if (model.has("byte_fallback") && model.boolean("byte_fallback"))
    refuse("byte_fallback", "false, as byte-level vocabularies have");
  JsonObject(model.json(), model.origin(), "model", ErrorKind::unsupported)
      .expect_only({"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
                    "byte_fallback", "ignore_merges", "vocab", "merges"});
}

/// Which candidate a heap has below another: the one to merge later.
bool merges_later(const ByteLevelBpe::Scratch::Candidate& a, const ByteLevelBpe::Scratch::Candidate& b) {
  return a.rank != b.rank ? a.rank > b.rank : a.position > b.position;
}

}  // namespace

ByteLevelBpe::ByteLevelBpe(const JsonObject& model) : origin_(model.origin()) {
  refuse_other_models(model);
  ignore_merges_ = model.has("ignore_merges") && model.boolean("ignore_merges");
  read_vocabulary(model);
  read_merges(model);
}

void ByteLevelBpe::read_vocabulary(const JsonObject& model) {
  const JsonObject vocab = model.object("vocab");
  std::unordered_set<std::int32_t> taken;
  vocabulary_.reserve(vocab.json().size());
  taken.reserve(vocab.json().size());
  for (const auto& item : vocab.json().items()) {
    const auto id = static_cast<std::int32_t>(vocab.integer(item.key(), 0, std::numeric_limits<std::int32_t>::max()));
    if (!taken.insert(id).second)
      model.fail(fmt::format("two tokens of model.vocab have the id {}; one is \"{}\"", id, item.key()));
    vocabulary_.emplace(item.key(), id);
  }
  for (std::size_t byte = 0; byte < byte_tokens_.size(); ++byte) {
    const auto found = vocabulary_.find(byte_alphabet()[byte]);
    byte_tokens_[byte] = found == vocabulary_.end() ? kNoToken : found->second;
  }
}

void ByteLevelBpe::read_merges(const JsonObject& model) {
  const Json& merges = model.json().contains("merges") ? model.json().at("merges") : Json();
  if (!merges.is_array()) model.fail(fmt::format("model.merges is {}, expected an array", describe(merges)));
  merges_.reserve(merges.size());
  std::size_t rank = 0;
  for (const Json& merge : merges) {
    const bool pair = merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string();
    if (pair) {
      add_merge(merge[0].get<std::string>(), merge[1].get<std::string>(), rank++);
      continue;
    }
    // The older spelling. The byte alphabet has no space.
    const std::string text = merge.is_string() ? merge.get<std::string>() : "";
    const std::size_t space = text.find(' ');
    if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos)
      model.fail(
          fmt::format("model.merges[{}] is {}, expected two tokens: [\"a\", \"b\"] or \"a b\"", rank, describe(merge)));
    add_merge(text.substr(0, space), text.substr(space + 1), rank++);
  }
}

void ByteLevelBpe::add_merge(const std::string& left, const std::string& right, std::size_t rank) {
  const auto id = [&](const std::string& token) {
    const auto found = vocabulary_.find(token);
    if (found == vocabulary_.end())
      throw Error(ErrorKind::bad_input,
                  fmt::format("{}: model.merges[{}] has \"{}\", which model.vocab does not", origin_, rank, token));
    return found->second;
  };
  const std::uint64_t pair = static_cast<std::uint64_t>(id(left)) << 32 | static_cast<std::uint64_t>(id(right));
  // Of a pair that is there twice the later one counts, as in Hugging Face's tokenizers.
  merges_.insert_or_assign(pair, Merge{static_cast<std::int32_t>(rank), id(left + right)});
}

std::size_t ByteLevelBpe::PairHash::operator()(std::uint64_t pair) const {
  pair *= 0x9e3779b97f4a7c15U;  // 2^64 / the golden ratio: both ids reach the bits that choose a bucket
  return pair ^ pair >> 32;
}

const ByteLevelBpe::Merge* ByteLevelBpe::merge_of(std::int32_t left, std::int32_t right) const {
  const auto found = merges_.find(static_cast<std::uint64_t>(left) << 32 | static_cast<std::uint64_t>(right));
  return found == merges_.end() ? nullptr : &found->second;
}

/// Adds the pair whose left symbol is at `position` to the candidates, if there is a merge of it.
void ByteLevelBpe::propose(Scratch& scratch, std::int32_t position) const {
  if (position < 0) return;
  const Scratch::Symbol& left = scratch.symbols[static_cast<std::size_t>(position)];
  if (left.next < 0) return;
  const Merge* merge = merge_of(left.id, scratch.symbols[static_cast<std::size_t>(left.next)].id);
  if (merge == nullptr) return;
  scratch.candidates.push_back({merge->rank, position, merge->id});
  std::push_heap(scratch.candidates.begin(), scratch.candidates.end(), merges_later);
}

std::int32_t ByteLevelBpe::token_of_byte(unsigned char byte) const {
  const std::int32_t token = byte_tokens_[byte];
  if (token == kNoToken)
    throw Error(ErrorKind::bad_input,
                fmt::format("{}: model.vocab has no token for the byte 0x{:02x}, \"{}\", expected one for each",
                            origin_, byte, byte_alphabet()[byte]));
  return token;
}

void ByteLevelBpe::encode(std::string_view word, Scratch& scratch, std::vector<std::int64_t>& ids) const {
  if (ignore_merges_) {
    std::string written;
    for (const char byte : word) written += byte_alphabet()[static_cast<unsigned char>(byte)];
    if (const auto found = vocabulary_.find(written); found != vocabulary_.end()) {
      ids.push_back(found->second);
      return;
    }
  }
  std::vector<Scratch::Symbol>& symbols = scratch.symbols;
  symbols.clear();
  scratch.candidates.clear();
  const auto length = static_cast<std::int32_t>(word.size());
  for (std::int32_t i = 0; i < length; ++i)
    symbols.push_back({token_of_byte(static_cast<unsigned char>(word[static_cast<std::size_t>(i)])), i - 1,
                       i + 1 < length ? i + 1 : -1});
  for (std::int32_t i = 0; i < length; ++i) propose(scratch, i);
  while (!scratch.candidates.empty()) {
    std::pop_heap(scratch.candidates.begin(), scratch.candidates.end(), merges_later);
    const Scratch::Candidate best = scratch.candidates.back();
    scratch.candidates.pop_back();
    Scratch::Symbol& left = symbols[static_cast<std::size_t>(best.position)];
    if (left.id == kNoToken || left.next < 0) continue;
    Scratch::Symbol& right = symbols[static_cast<std::size_t>(left.next)];
    // One of the two may have been merged with another since; the pair still counts if it becomes the same token.
    const Merge* merge = merge_of(left.id, right.id);
    if (merge == nullptr || merge->id != best.id) continue;
    left.id = best.id;
    right.id = kNoToken;
    left.next = right.next;
    if (left.next >= 0) symbols[static_cast<std::size_t>(left.next)].previous = best.position;
    propose(scratch, left.previous);
    propose(scratch, best.position);
  }
  for (std::int32_t i = length == 0 ? -1 : 0; i >= 0; i = symbols[static_cast<std::size_t>(i)].next)
    ids.push_back(symbols[static_cast<std::size_t>(i)].id);
}

}  // namespace q3vl
