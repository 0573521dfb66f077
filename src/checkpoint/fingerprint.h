// What tells one checkpoint from another without reading its weights.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"

namespace q3vl {

/// A shard by its size and its header, which names every tensor with its type, shape and place.
struct ShardFingerprint {
  std::string file;  ///< its name in the checkpoint
  std::uint64_t bytes;
  std::string header_sha256;  ///< of the header's length and the header
};

struct CheckpointFingerprint {
  std::uint64_t config_bytes;
  std::string config_sha256;
  std::vector<ShardFingerprint> shards;  ///< by name
};

/// Reads config.json and the headers again. Throws Error(bad_input).
CheckpointFingerprint fingerprint(const Checkpoint& checkpoint);

}  // namespace q3vl
