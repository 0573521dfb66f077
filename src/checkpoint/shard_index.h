// model.safetensors.index.json: which shard holds which tensor. Pure: text in, table out.
#pragma once

#include <map>
#include <string>

namespace q3vl {

/// Tensor name → shard file name.
using WeightMap = std::map<std::string, std::string>;

/// Parses the text of an index; at least one tensor, each in a plain file name. `origin` (the path) opens every
/// message. Throws Error(bad_input).
WeightMap parse_shard_index(const std::string& text, const std::string& origin);

}  // namespace q3vl
