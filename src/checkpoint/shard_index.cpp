#include "checkpoint/shard_index.h"

#include <fmt/format.h>

#include "base/json.h"

namespace q3vl {

WeightMap parse_shard_index(const std::string& text, const std::string& origin) {
  const Json document = parse_json(text, origin, ErrorKind::bad_input, kIndexJson);
  const JsonObject root(document, origin);
  const JsonObject map = root.object("weight_map");
  WeightMap shards;
  for (const auto& [name, value] : map.json().items()) {
    const std::string shard = map.string(name);
    if (shard.empty() || shard == "." || shard == ".." ||
        shard.find_first_of(std::string("/\\\0", 3)) != std::string::npos)
      map.fail(fmt::format("tensor \"{}\" is said to be in {}, expected a plain file name beside the index", name,
                           describe(value)));
    shards.emplace(name, shard);
  }
  if (shards.empty()) map.fail("weight_map names no tensor");
  return shards;
}

}  // namespace q3vl
