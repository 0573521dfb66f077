// manifest.json: how a folder of this program was made, for people and for the tools that check it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "checkpoint/fingerprint.h"
#include "data/data_layout.h"
#include "package/package_layout.h"
#include "recipe/recipe.h"

namespace q3vl {

/// The name that stands for this program among a manifest's versions, and tells its folders from other ones.
inline constexpr const char* kProgramName = "qwen3vl-export";

/// A file of the folder as it was written.
struct ManifestFile {
  std::uint64_t bytes;
  std::string sha256;
};
using ManifestFiles = std::map<std::string, ManifestFile>;

/// Stands for a digest that is not known yet; it takes as much room.
std::string unknown_sha256();

/// What `format` says in manifests that record digests: those before did not.
inline constexpr std::int64_t kManifestFormat = 2;

struct ManifestInputs {
  std::vector<std::pair<std::string, std::string>>
      versions;  ///< of the program and of the libraries that make the bytes
  const Recipe& recipe;
  const DataLayout& layout;
  std::vector<std::string> components;
  const PackageLayout* package_layout;
  std::int64_t max_length;  ///< 0 where no genai_config.json is written, as is
  std::int64_t max_pixels;
  bool allow_nonfinite;
  CheckpointFingerprint source;
  ManifestFiles files;  ///< by name; all but the manifest
};

/// The document of a package. It holds nothing of the machine, the folder, the thread count or the time: equal inputs,
/// equal bytes.
OrderedJson manifest(const ManifestInputs& inputs);

/// The document of a checkpoint that was extracted: `module` of another one, by this `version` of the program.
OrderedJson extraction_manifest(const std::string& version, const std::string& module,
                                const CheckpointFingerprint& source, const ManifestFiles& files);

/// The files that a manifest lists. `manifest` is the whole document. Throws Error(bad_input).
ManifestFiles listed_files(const JsonObject& manifest);

}  // namespace q3vl
