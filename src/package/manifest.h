// manifest.json: how a folder of this program was made, for people and for the tools that check it.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "recipe/recipe.h"
#include "serialize/data_layout.h"

namespace q3vl {

/// The name that stands for this program among a manifest's versions, and tells its folders from other ones.
inline constexpr const char* kProgramName = "qwen3vl-export";

struct ManifestInputs {
  std::vector<std::pair<std::string, std::string>>
      versions;  ///< of the program and of the libraries that make the bytes
  const Recipe& recipe;
  const DataLayout& layout;
  std::vector<std::string> components;
  std::int64_t max_length;  ///< 0 where no genai_config.json is written, as is
  std::int64_t max_pixels;
  std::map<std::string, std::uint64_t> files;  ///< name → bytes
};

/// The document of a package. It holds nothing of the machine, the folder, the thread count or the time: equal inputs,
/// equal bytes.
OrderedJson manifest(const ManifestInputs& inputs);

/// The document of a checkpoint that was extracted: `module` of another one, by this `version` of the program.
OrderedJson extraction_manifest(const std::string& version, const std::string& module,
                                const std::map<std::string, std::uint64_t>& files);

}  // namespace q3vl
