// The main job: a checkpoint becomes a package.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "qwen3vl_export/error.h"

namespace q3vl {

/// What the user asked for. Empty strings and zeros mean: as the recipe or the checkpoint says.
struct ExportRequest {
  std::filesystem::path checkpoint = {};
  std::filesystem::path output = {};
  std::string recipe = "int4";  ///< a name, or the path of a file
  std::string target = {};
  std::string text = {};       ///< a spec, as in "int4" or "int4-block64-grid-asym"; docs/RECIPES.md
  std::string embedding = {};  ///< a spec
  std::string vision = {};     ///< fp32, fp16, int8
  std::string logits = {};     ///< last, all
  std::string kv_cache = {};   ///< float, int8
  int block_size = 0;
  std::vector<std::string> tensors = {};  ///< rules ROLE[@LAYERS]=SPEC, the last that covers a tensor counts
  std::string importance = {};            ///< none, weights, calibration; empty with a calibration: that
  std::filesystem::path calibrate = {};  ///< data to calibrate on first (calibrate.h); the findings go to `calibration`
  /// The file of a calibration; with `calibrate` "<output>.calibration" unless told.
  std::filesystem::path calibration = {};
  std::uint64_t target_size = 0;             ///< of the package, in bytes; 0: whatever the recipe makes of it
  std::vector<std::string> components = {};  ///< of vision, embedding, text; empty: all that the checkpoint has
  /// universal, genai, transformers-js; empty: universal if Transformers.js can run it, else genai.
  std::string layout = {};
  std::int64_t max_length = 0;   ///< genai_config's search.max_length; 8192, or the model's context if that is shorter
  std::int64_t max_pixels = 0;   ///< the most pixels of a picture after its resize; 1,003,520 unless told
  int threads = 0;               ///< that encode weights; 0: as many as there are processors, at most 16
  bool force = false;            ///< replace what this program wrote there before
  bool allow_unused = false;     ///< accept tensors that the model does not have
  bool allow_nonfinite = false;  ///< accept weights that are NaN or infinite
};

/// How far the work has come.
struct ExportProgress {
  std::uint64_t done;
  std::uint64_t total;
  std::string activity;  ///< what is done, as in "encoded 1 GB of 2 GB"
  std::string unit;      ///< what is counted, as in "layers"; empty: bytes
};

/// Where an export tells what it does. Calls come from several threads, one at a time.
struct ExportObserver {
  std::function<void(const std::string&)> info = [](const std::string&) {};
  std::function<void(const std::string&)> warning = [](const std::string&) {};
  std::function<void(const std::string&)> detail = [](const std::string&) {};
  std::function<void(const ExportProgress&)> progress = [](const ExportProgress&) {};
};

struct ExportedFile {
  std::string name;
  std::uint64_t bytes;
  std::string contents;  ///< what is in it, in a few words
};

struct ExportReport {
  std::vector<ExportedFile> files;
  double seconds;
  std::uint64_t peak_memory_bytes;  ///< the process's largest resident size
};

/// Writes the package. It is made in `<output>.partial` and renamed when it is complete and checked, so that `output`
/// is never half a package; after an error nothing is left of it. Throws Error.
ExportReport export_package(const ExportRequest& request, const ExportObserver& observer);

/// Names and versions: this program first, then the libraries it runs with.
std::vector<std::pair<std::string, std::string>> versions();

/// Asks a running export to stop: it throws Error(interrupted) soon. Safe to call from a signal handler.
void request_interrupt();

/// The recipes that are compiled in: name and description.
std::vector<std::pair<std::string, std::string>> builtin_recipes();

}  // namespace q3vl
