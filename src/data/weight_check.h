// The data files of a package against the weights that they were made from.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "data/weight_encoder.h"

namespace q3vl {

/// Encodes every weight of `layout` again and compares it byte for byte with the files in `folder`; the bytes that no
/// weight owns must be zero, and each file as long as the layout says. Returns a sentence for each part of a weight
/// that differs (file, weight, part, how many bytes, the first of them) and for each file that is missing or of another
/// length, and one for values of the checkpoint that are not finite, unless `allow_nonfinite`. Memory and `progress`
/// are those of encode_weights(). Throws Error(bad_input) for weights of the checkpoint that cannot be encoded.
std::vector<std::string> weight_differences(const DataLayout& layout, const WeightSource& source,
                                            const std::filesystem::path& folder, bool allow_nonfinite, int threads,
                                            const std::function<void(std::uint64_t done)>& progress);

}  // namespace q3vl
