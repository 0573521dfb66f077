// The header of a safetensors file: names, types, shapes and places of its tensors. Pure: text in, table out.
//
// Format: 8 bytes little-endian header length N, N bytes of JSON, then the tensors' bytes.
// Contract: https://github.com/huggingface/safetensors#format, and where that is silent its own reader, tensor.rs. As
// the format says and that reader does not ask: no key twice, and only spaces behind the JSON.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/data_type.h"
#include "base/shape.h"

namespace q3vl {

/// What a header says of the whole file, in strings by name: its "__metadata__".
using SafetensorsMetadata = std::map<std::string, std::string>;

struct SafetensorsEntry {
  std::string name;
  DataType type;
  Shape shape;
  std::uint64_t begin;  ///< first byte, counted from the end of the header
  std::uint64_t end;    ///< one past the last byte
};

/// Parses the JSON of a header whose file has `data_bytes` bytes after it. The tensors must cover those bytes exactly,
/// without holes or overlaps. `origin` (the path) opens every message. Throws Error(bad_input), and Error(unsupported)
/// for a tensor of a type that the format has and DataType has not.
std::vector<SafetensorsEntry> parse_safetensors_header(const std::string& json, std::uint64_t data_bytes,
                                                       const std::string& origin);

/// The metadata in the JSON of a header; none when it has none. Throws Error(bad_input).
SafetensorsMetadata parse_safetensors_metadata(const std::string& json, const std::string& origin);

}  // namespace q3vl
