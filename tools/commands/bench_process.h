// Rounds of `bench` in processes of their own.
#pragma once

#include <nlohmann/json.hpp>

#include "qwen3vl_export/bench.h"

namespace q3vl {

/// What was measured, without the round's other facts: {"phase", what it was measured on, "numbers": name → value}.
nlohmann::ordered_json to_json(const BenchMeasurement& measurement);

/// bench_round() in a child of this process, which must have one thread and no ONNX Runtime yet. Throws what was thrown
/// there, Error(internal) when the child does not end by itself, and Error(interrupted), after ending it.
BenchRound bench_round_apart(const BenchRequest& request);

}  // namespace q3vl
