// How the weights of a checkpoint are spread over files and described: what a writer of one needs beside the bytes.
// Contract: https://github.com/huggingface/safetensors#format, and Hugging Face's index of sharded checkpoints.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "checkpoint/safetensors_header.h"

namespace q3vl {

/// What stands before the tensors' bytes: the length and the header, padded with spaces to a multiple of 8 bytes as the
/// reference writer does. `entries` must be in the order of their bytes.
std::string safetensors_header(const std::vector<SafetensorsEntry>& entries,
                               const SafetensorsMetadata& metadata = {{"format", "pt"}});

/// The name of shard `index` of `count`: "model-00001-of-00004.safetensors", or "model.safetensors" of one.
std::string shard_name(std::size_t index, std::size_t count);

/// The text of the index: each tensor's shard in `weight_map`, and the `total_size` of all tensors in bytes.
std::string index_text(const std::map<std::string, std::string>& weight_map, std::uint64_t total_size);

}  // namespace q3vl
