// Rows of an embedding table.
#pragma once

#include "ops/builder.h"

namespace q3vl {

/// table[input_ids]: int64 [batch, sequence] → [batch, sequence, width]. `weight` names the table [rows, width]; it
/// stays in its encoding, and only the rows that are looked up are converted. Quantised it is a GatherBlockQuantized,
/// or where the target has none the same in operators of ai.onnx, with equal bits.
Value embedding_lookup(const Builder& b, const Scope& s, const Scope& weight, const Value& input_ids, std::int64_t rows,
                       std::int64_t width);

}  // namespace q3vl
