#include "data/file_digest.h"

#include <fmt/format.h>

#include "qwen3vl_export/error.h"

namespace q3vl {

FileDigest::FileDigest(std::vector<DataPlace> places, std::uint64_t size) : places_(std::move(places)), size_(size) {
  skip_gap();
}

void FileDigest::add(std::uint64_t offset, std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  if (offset != reached_) {
    early_.try_emplace(offset, bytes.begin(), bytes.end());
    return;
  }
  take(bytes);
  for (auto next = early_.begin(); next != early_.end() && next->first == reached_; next = early_.erase(next))
    take(next->second);
}

void FileDigest::take(std::span<const std::byte> bytes) {
  digest_.update(bytes);
  reached_ += bytes.size();
  skip_gap();
}

void FileDigest::skip_gap() {
  while (place_ < places_.size() && places_[place_].offset + places_[place_].bytes <= reached_) ++place_;
  const std::uint64_t next = place_ < places_.size() ? places_[place_].offset : size_;
  if (next <= reached_) return;
  digest_.update_zeros(next - reached_);
  reached_ = next;
}

std::string FileDigest::hex() {
  if (reached_ != size_)
    throw Error(ErrorKind::internal, fmt::format("a file's digest has {} of its {} bytes", reached_, size_));
  return digest_.hex();
}

}  // namespace q3vl
