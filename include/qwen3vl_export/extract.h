// One module of a Qwen3-VL checkpoint as a checkpoint of its own.
#pragma once

#include <filesystem>
#include <string>

#include "qwen3vl_export/export.h"

namespace q3vl {

struct ExtractRequest {
  std::filesystem::path checkpoint;
  std::filesystem::path output;
  std::string module;         ///< "language_model": a plain Qwen3; "visual": the visual tower
  bool force = false;         ///< replace what this program wrote there before
  bool allow_unused = false;  ///< accept tensors that the model does not have, and leave them out
};

/// Writes the module's tensors, byte for byte, with the config and the small files that belong to it, in the layout of
/// the hub. Refused before anything is written: what an export refuses of that module. It is made in
/// `<output>.partial` and renamed when it is complete; after an error nothing is left of it. Throws Error: `usage` when
/// the checkpoint has no such module to take out, else as export_package does. Progress counts bytes of tensors.
ExportReport extract_module(const ExtractRequest& request, const ExportObserver& observer);

}  // namespace q3vl
