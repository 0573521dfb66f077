// Schemas of ONNX Runtime's attention operators: GroupQueryAttention, MultiHeadAttention, RotaryEmbedding.
#pragma once

#include <onnx/defs/schema.h>

#include <vector>

namespace q3vl {

/// Domain com.microsoft, version 1; contrib_schemas.h says which rules they hold.
std::vector<onnx::OpSchema> attention_schemas();

}  // namespace q3vl
