// How fast a package runs in ONNX Runtime on this machine.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "qwen3vl_export/error.h"

namespace q3vl {

struct BenchRequest {
  std::filesystem::path package;
  std::filesystem::path onnxruntime;           ///< libonnxruntime.so; empty: the one found (docs/INSTALL.md)
  std::vector<std::int64_t> patches = {1024};  ///< of pictures, one each; a text-only package sees none
  std::vector<std::int64_t> prompts = {512};   ///< lengths in tokens
  std::int64_t tokens = 32;                    ///< that are decoded behind each prompt
  int repeats = 3;                             ///< of a picture or a prompt, of which the median counts
  int threads = 0;                             ///< of ONNX Runtime's operators; 0: one a physical core
  std::string cache;                           ///< shared, growing; empty: as genai_config.json says
  bool matrices = false;                       ///< of model.onnx: whether they are measured alone as well
};

struct BenchNumber {
  std::string name;  ///< docs/BENCH.md lists them, with their units
  double value;
};

/// One thing that was measured. What does not belong to its phase is empty or 0.
struct BenchMeasurement {
  std::string phase;         ///< load, vision, prompt, decode, first_token, matrices
  std::string graph;         ///< of load: vision, embedding, model
  std::int64_t patches = 0;  ///< of vision and first_token
  std::int64_t prompt = 0;   ///< of prompt, decode and first_token: its length in tokens
  std::int64_t tokens = 0;   ///< of decode and matrices: steps
  std::vector<BenchNumber> numbers;

  /// The same thing was measured.
  bool is_as(const BenchMeasurement& other) const;
};

/// What one process found out, with sessions of its own.
struct BenchRound {
  std::string processor;  ///< its model name; empty where the system does not tell
  int processors;         ///< that the process may use
  std::string onnxruntime;
  std::string cache;                    ///< shared, growing
  std::uint64_t weight_bytes;           ///< that a decode step reads
  std::uint64_t cache_bytes_per_token;  ///< keys and values of all layers
  double bandwidth;                     ///< of the memory, reading: bytes a second
  std::vector<BenchMeasurement> measurements;
};

/// Throws what bench_round() would throw before it loads a graph: Error(usage) for numbers that the package cannot be
/// measured with, Error(bad_input) and Error(unsupported) for its configs.
void check_bench(const BenchRequest& request);

/// Measures in this process, which should be fresh: resident memory is counted from what it is, and ONNX Runtime stays
/// loaded. Throws Error.
BenchRound bench_round(const BenchRequest& request);

}  // namespace q3vl
