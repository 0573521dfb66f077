// Byte-pair encoding of a word's bytes: the `model` of tokenizer.json.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/json.h"

namespace q3vl {

class ByteLevelBpe {
 public:
  /// Reads `model`: its vocabulary and its merges. Throws Error(unsupported) for another model than byte-level BPE, and
  /// Error(bad_input) for one that contradicts itself.
  explicit ByteLevelBpe(const JsonObject& model);

  /// What words are worked in; one serves for many.
  struct Scratch;

  /// Appends the tokens of `word`, any bytes, to `ids`. Starting from single bytes, the pair that comes first among the
  /// merges becomes one token, the leftmost one if it stands there more than once, until no pair has a merge. O(n log
  /// n). Throws Error(bad_input) for a byte that the vocabulary does not have.
  void encode(std::string_view word, Scratch& scratch, std::vector<std::int64_t>& ids) const;

  /// Every token as the vocabulary writes it, in the byte alphabet, and its id.
  const std::unordered_map<std::string, std::int32_t>& vocabulary() const { return vocabulary_; }

 private:
  struct Merge {
    std::int32_t rank;
    std::int32_t id;  ///< of what the pair becomes
  };
  struct PairHash {
    std::size_t operator()(std::uint64_t pair) const;
  };

  void read_vocabulary(const JsonObject& model);
  void read_merges(const JsonObject& model);
  void add_merge(const std::string& left, const std::string& right, std::size_t rank);
  const Merge* merge_of(std::int32_t left, std::int32_t right) const;
  void propose(Scratch& scratch, std::int32_t position) const;
  std::int32_t token_of_byte(unsigned char byte) const;

  std::string origin_;
  std::unordered_map<std::string, std::int32_t> vocabulary_;
  std::unordered_map<std::uint64_t, Merge, PairHash> merges_;  ///< of both ids in one number
  std::array<std::int32_t, 256> byte_tokens_;                  ///< -1 where there is none
  bool ignore_merges_ = false;                                 ///< a word that is a token is that token
};

struct ByteLevelBpe::Scratch {
  /// A token of the word so far, in a list; merged into the one before it when its id is -1.
  struct Symbol {
    std::int32_t id;
    std::int32_t previous;
    std::int32_t next;  ///< -1 after the last one
  };
  /// A pair that could be merged when it was seen.
  struct Candidate {
    std::int32_t rank;
    std::int32_t position;  ///< of its left symbol
    std::int32_t id;        ///< of what it becomes
  };
  std::vector<Symbol> symbols;
  std::vector<Candidate> candidates;  ///< a heap, the next one to merge first
};

}  // namespace q3vl
