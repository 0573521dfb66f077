// The digest of a file that is written piece by piece and not from its beginning to its end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/sha256.h"
#include "data/data_layout.h"

namespace q3vl {

/// SHA-256 of a data file. A piece that arrives before those in front of it is kept until they are there, so memory is
/// what arrives early: of a weight that is written in blocks of rows, its scales and zero points.
class FileDigest {
 public:
  /// `places`: what will be written, in order and without overlaps; all else of the file's `size` bytes is zero.
  FileDigest(std::vector<DataPlace> places, std::uint64_t size);

  /// Takes the bytes at `offset`, each of the file's places once in all. Not for two threads at a time.
  void add(std::uint64_t offset, std::span<const std::byte> bytes);

  /// The digits, when all bytes were given. Throws Error(internal) when some were not.
  std::string hex();

 private:
  void take(std::span<const std::byte> bytes);
  void skip_gap();

  std::vector<DataPlace> places_;
  std::size_t place_ = 0;  // that reached_ lies in, or that ends where it stands
  std::uint64_t size_;
  std::uint64_t reached_ = 0;  // the digest has all bytes before it
  std::map<std::uint64_t, std::vector<std::byte>> early_;
  Sha256 digest_;
};

}  // namespace q3vl
