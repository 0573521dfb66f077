// What the inputs of the language model's matrices look like on given data: found once, and used by exports.
#pragma once

#include <cstdint>
#include <filesystem>

#include "qwen3vl_export/export.h"

namespace q3vl {

struct CalibrateRequest {
  std::filesystem::path checkpoint;
  std::filesystem::path data;    ///< a folder of token files and pictures (docs/CALIBRATION.md)
  std::filesystem::path output;  ///< the file to write
  bool feedback = false;         ///< GPTQ feedback factors, too; else second moments alone
  int threads = 0;               ///< as many as there are processors
};

struct CalibrateReport {
  std::int64_t sequences = 0;
  std::int64_t tokens = 0;
  std::int64_t layers = 0;         ///< of the language model
  std::int64_t layers_before = 0;  ///< of these, finished by an earlier run that was interrupted
  std::uint64_t bytes = 0;         ///< of the file
  double seconds = 0;
  std::uint64_t peak_memory_bytes = 0;  ///< the process's largest resident size
};

/// Runs `data` through the checkpoint's model in float32 and writes the findings to `output`. Progress is counted in
/// layers. The file is made as `<output>.partial`; from the first layer on, an interrupted or killed run leaves it
/// there with `<output>.state`, and the next one of the same checkpoint, data and `feedback` goes on after the last
/// finished layer. The bytes are the same with and without interruptions, on any number of threads. Throws
/// Error.
CalibrateReport calibrate(const CalibrateRequest& request, const ExportObserver& observer);

}  // namespace q3vl
