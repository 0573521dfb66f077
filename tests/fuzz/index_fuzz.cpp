// The text of model.safetensors.index.json. An index that is accepted names files beside it alone, and what is written
// of it reads as it did.
#include "checkpoint/checkpoint_writing.h"
#include "checkpoint/shard_index.h"
#include "fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  q3vl::WeightMap shards;
  if (!q3vl::fuzz::accepts([&] { shards = q3vl::parse_shard_index(q3vl::fuzz::text(data, size), "index.json"); }))
    return 0;
  q3vl::fuzz::expect(!shards.empty(), "an index names tensors");
  for (const auto& [tensor, shard] : shards) {
    q3vl::fuzz::expect(!shard.empty() && shard != "." && shard != "..", "a shard is a file");
    for (const char c : shard) q3vl::fuzz::expect(c != '/' && c != '\\' && c != '\0', "a shard lies beside its index");
  }
  q3vl::fuzz::expect(q3vl::parse_shard_index(q3vl::index_text(shards, 0), "written") == shards,
                     "what is written reads as it did");
  return 0;
}
