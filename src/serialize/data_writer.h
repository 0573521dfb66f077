// The streaming writer: pulls rows of a weight, encodes them, writes them, lets them go.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>

#include "checkpoint/checkpoint.h"
#include "serialize/data_layout.h"

namespace q3vl {

/// Writes every data file of `layout` into `folder`, synced to the disk. Memory is one block of rows a thread, whatever
/// the model's size, and the bytes do not depend on the number of threads. `progress` gets the bytes of the checkpoint
/// encoded so far; calls do not overlap. Throws Error(bad_input) for weights that cannot be read, are NaN or infinite
/// or do not fit their encoding, and Error(output) when the disk fails.
void write_data_files(const DataLayout& layout, const Checkpoint& checkpoint, const std::filesystem::path& folder,
                      int threads, const std::function<void(std::uint64_t done)>& progress);

/// The bytes of the checkpoint that write_data_files() will read.
std::uint64_t bytes_to_encode(const DataLayout& layout);

}  // namespace q3vl
