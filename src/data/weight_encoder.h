// A package's weights, block by block in their encoded form: what the writer writes, and what a check compares with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "data/data_layout.h"
#include "quant/encoder.h"
#include "weights/weight_block.h"

namespace q3vl {

/// Where weights come from, and what is known of the values that they are multiplied by.
struct WeightSource {
  const Checkpoint* checkpoint;
  MakeWeightBlock make_block;
  /// Asked once a weight, before its first rows are encoded, by one of several threads at a time; for those whose
  /// encoding looks at it.
  std::function<InputStatistics(const WeightRequest&)> statistics;
};

/// Rows [begin, end) of one weight, encoded.
struct EncodedRows {
  const PlacedWeight* weight;
  std::int64_t begin;
  std::int64_t end;
  std::span<const std::span<const std::byte>> parts;  ///< one a part of the weight's request

  /// Where the rows of a part begin in the weight's file.
  std::uint64_t offset(std::size_t part) const {
    return weight->part_offsets[part] + static_cast<std::uint64_t>(begin) * weight->request->parts[part].row_bytes;
  }
};

/// Tensor → how many of its values are NaN or infinite; those that have none are left out.
using NonfiniteValues = std::map<std::string, std::int64_t>;

/// Reads every tensor of `layout` once, in blocks of a few MiB, encodes them and gives them to `visit`, which is called
/// by several threads at once, for a few blocks around the first that it has not had yet, in the order of the layout.
/// At most `threads` of them encode; two more read or are in `visit` meanwhile. Memory is one block a thread, whatever
/// the model's size. `progress` gets the bytes of the checkpoint done so far; its calls do not overlap. Returns what is
/// not finite, which encode_rows() has encoded as it says. Throws Error(bad_input) for weights that cannot be read or
/// do not fit their encoding.
NonfiniteValues encode_weights(const DataLayout& layout, const WeightSource& source, int threads,
                               const std::function<void(const EncodedRows&)>& visit,
                               const std::function<void(std::uint64_t done)>& progress);

/// Throws Error(bad_input) that names the tensors and counts their values, when there are any.
void expect_finite(const NonfiniteValues& values, const Checkpoint& checkpoint);

/// "2 tensors have values that are NaN or infinite: "a" (3), "b" (1)", for messages; some of them when they are many.
std::string describe(const NonfiniteValues& values);

/// The threads that encode when `requested` are asked for; 0 means as many as there are processors, but no more than
/// keep up with any disk.
int encoding_threads(int requested);

/// The bytes of the checkpoint that encode_weights() will read: each tensor once, however many weights it becomes.
std::uint64_t bytes_to_encode(const DataLayout& layout, const Checkpoint& checkpoint);

}  // namespace q3vl
