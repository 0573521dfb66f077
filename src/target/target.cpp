#include "target/target.h"

#include <fmt/format.h>

#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

// ONNX Runtime's CPU kernels compute in float32: float16 models run on them through Casts, and unmasked
// MultiHeadAttention, the one attention that needs no memory for N×N scores, exists in float32 alone.
constexpr TargetProfile kCpu{
    .name = "cpu", .description = "ONNX Runtime's CPU execution provider", .compute_type = DataType::float32};

}  // namespace

const TargetProfile& target_profile(std::string_view name) {
  if (name == kCpu.name) return kCpu;
  throw Error(ErrorKind::usage, fmt::format("--target is \"{}\", expected cpu, the only target there is", name));
}

TargetProfile in_browser(TargetProfile target) {
  target.casts_bfloat16 = false;
  target.has_gather_block_quantized = false;
  return target;
}

}  // namespace q3vl
