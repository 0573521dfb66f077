#include "checkpoint/fingerprint.h"

#include <algorithm>
#include <array>

#include "base/json.h"
#include "base/sha256.h"
#include "contract/file_names.h"

namespace q3vl {
namespace {

/// The length of a header that was parsed before, and the header.
std::string header_bytes(const File& shard) {
  std::array<unsigned char, 8> prefix{};
  shard.read_at(0, std::as_writable_bytes(std::span(prefix)));
  std::uint64_t length = 0;
  for (std::size_t i = 8; i-- > 0;) length = length << 8 | prefix[i];
  std::string bytes(8 + std::min(length, kSafetensorsJson.bytes), '\0');
  shard.read_at(0, std::as_writable_bytes(std::span(bytes)));
  return bytes;
}

}  // namespace

CheckpointFingerprint fingerprint(const Checkpoint& checkpoint) {
  const std::string config = read_text_file(checkpoint.folder() / kConfigFile);
  CheckpointFingerprint result{.config_bytes = config.size(), .config_sha256 = sha256_of(config), .shards = {}};
  for (const File& shard : checkpoint.shards())
    result.shards.push_back({shard.path().filename().string(), shard.size(), sha256_of(header_bytes(shard))});
  std::ranges::sort(result.shards, {}, &ShardFingerprint::file);
  return result;
}

}  // namespace q3vl
