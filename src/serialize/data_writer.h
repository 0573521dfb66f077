// The streaming writer: pulls rows of a weight, encodes them, writes them, lets them go.
#pragma once

#include <filesystem>

#include "serialize/weight_encoder.h"

namespace q3vl {

/// Writes every data file of `layout` into `folder`, synced to the disk. Bytes between the weights are zero, and none
/// depends on the number of threads. Memory, `progress` and errors are those of encode_weights(); Error(output) when
/// the disk fails.
void write_data_files(const DataLayout& layout, const WeightSource& source, const std::filesystem::path& folder,
                      int threads, const std::function<void(std::uint64_t done)>& progress);

}  // namespace q3vl
