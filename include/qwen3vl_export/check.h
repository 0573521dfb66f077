// Whether a package or an extracted checkpoint is whole: the folder alone is read, and neither LibTorch nor ONNX
// Runtime is needed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "qwen3vl_export/export.h"

namespace q3vl {

struct CheckReport {
  std::string folder = {};
  std::int64_t files = 0;  ///< that manifest.json lists
  std::uint64_t bytes = 0;
  std::vector<std::string> clients = {};   ///< that load it: "onnxruntime", "onnxruntime-genai", "Transformers.js"
  std::vector<std::string> unlisted = {};  ///< files of the folder that manifest.json does not know
  std::vector<std::string> findings = {};  ///< what is wrong, a sentence each
  double seconds = 0;

  bool ok() const { return findings.empty(); }
};

/// Compares every file that manifest.json lists with the size and the SHA-256 that it records, on `threads` threads (0:
/// one a processor), and holds the folder against what its clients demand (inspect.h). Throws Error(bad_input) when
/// there is no manifest of this program's that can be read.
CheckReport check_folder(const std::filesystem::path& folder, int threads, const ExportObserver& observer);

/// The report as JSON.
std::string check_report_json(const CheckReport& report);

}  // namespace q3vl
