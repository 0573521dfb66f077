// The measurements of qwen3vl-bench: each prints a table, writes the columns of its plot, if it has one, into
// Settings::out and returns its part of bench.json. All throw Error.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "page_cache.h"
#include "report.h"

namespace q3vl {

/// What is exported to, in every measurement but that of quality.
inline constexpr const char* kRecipe = "int4-rtn";

struct Settings {
  std::filesystem::path programs;  ///< the folder of this project's programs
  std::filesystem::path out;
  int rounds = 5;
  std::string size = "4b";
  std::filesystem::path checkpoint;  ///< to export instead of a synthetic one of `size`
  std::vector<std::string> memory_sizes = {"2b", "4b", "8b", "32b"};
  std::filesystem::path quality_text;         ///< of the trained model, for `verify --text`; may be empty
  std::filesystem::path quality_calibration;  ///< data to calibrate the trained model on; may be empty

  std::string program(const std::string& name) const { return programs / name; }
};

Json measure_kernels(const Settings& settings);
Json measure_export(const Settings& settings);
Json measure_memory(const Settings& settings);
Json measure_quality(const Settings& settings);

/// A folder in Settings::out for what one run writes, which nothing else is called: it is deleted with all that it
/// holds.
std::filesystem::path scratch_folder(const Settings& settings);

struct PackageSizes {
  std::uint64_t checkpoint_bytes;  ///< of its shards
  std::uint64_t package_bytes;     ///< as `qwen3vl-export plan` tells
};
PackageSizes package_sizes(const Settings& settings, const std::filesystem::path& checkpoint);

/// Where a synthetic checkpoint lies in Settings::out, once it is made.
std::filesystem::path scratch_checkpoint(const Settings& settings, const std::string& size, bool sparse);

/// Makes the scratch checkpoint unless it is there, whole or not at all. Returns its folder.
std::filesystem::path make_checkpoint(const Settings& settings, const std::string& size, bool sparse);

/// The same of the checkpoint that qwen3vl-synth makes of these arguments, but for the folder; it is kept as `name`.
std::filesystem::path make_checkpoint(const Settings& settings, const std::string& name,
                                      const std::vector<std::string>& arguments);

/// The files that hold the weights of a checkpoint, in order.
Files shards_of(const std::filesystem::path& checkpoint);

}  // namespace q3vl
