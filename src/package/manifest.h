// manifest.json: how the package was made, for people and for the tools that check it.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "recipe/recipe.h"
#include "serialize/data_layout.h"

namespace q3vl {

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

/// The document. It holds nothing of the machine, the folder, the thread count or the time: equal inputs, equal bytes.
OrderedJson manifest(const ManifestInputs& inputs);

}  // namespace q3vl
