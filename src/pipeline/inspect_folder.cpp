#include <fmt/format.h>

#include "contract/file_names.h"
#include "package/genai/genai_config.h"
#include "qwen3vl_export/inspect.h"

namespace q3vl {

FolderKind recognize_folder(const std::filesystem::path& folder) {
  if (!std::filesystem::is_directory(folder))
    throw Error(ErrorKind::bad_input,
                fmt::format("{}: is not a folder; expected a checkpoint or a package", folder.string()));
  bool weights = false;
  bool manifest = false;
  for (const std::filesystem::directory_entry& entry : std::filesystem::directory_iterator(folder)) {
    const std::filesystem::path name = entry.path().filename();
    if (name == kGenaiConfigFile || name.extension() == ".onnx") return FolderKind::package;
    weights = weights || name.extension() == ".safetensors";
    manifest = manifest || name == kManifestFile;
  }
  if (weights) return FolderKind::checkpoint;  // one that was extracted has a manifest too
  if (manifest) return FolderKind::package;
  throw Error(
      ErrorKind::bad_input,
      fmt::format("{}: is neither a checkpoint (it has no *.safetensors) nor a package (it has no *.onnx, {} or "
                  "{})",
                  folder.string(), kGenaiConfigFile, kManifestFile));
}

}  // namespace q3vl
