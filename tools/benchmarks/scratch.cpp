// What measurements keep on the disk: synthetic checkpoints from run to run, packages for one.
#include <fmt/format.h>

#include <algorithm>

#include "base/file.h"
#include "bench.h"
#include "qwen3vl_export/error.h"

namespace q3vl {

namespace fs = std::filesystem;

fs::path scratch_folder(const Settings& settings) {
  return settings.out / "qwen3vl-bench-scratch";
}

PackageSizes package_sizes(const Settings& settings, const fs::path& checkpoint) {
  const ChildResult plan =
      run_child({settings.program("qwen3vl-export"), "plan", checkpoint, "--recipe", kRecipe, "--json", "--quiet"});
  std::uint64_t checkpoint_bytes = 0;
  for (const fs::path& shard : shards_of(checkpoint)) checkpoint_bytes += fs::file_size(shard);
  return {checkpoint_bytes, Json::parse(plan.output).at("total_bytes")};
}

fs::path scratch_checkpoint(const Settings& settings, const std::string& size, bool sparse) {
  return settings.out / "checkpoints" / (sparse ? size + "-sparse" : size);
}

fs::path make_checkpoint(const Settings& settings, const std::string& size, bool sparse) {
  std::vector<std::string> arguments = {size};
  if (sparse) arguments.emplace_back("--sparse");
  return make_checkpoint(settings, scratch_checkpoint(settings, size, sparse).filename(), arguments);
}

fs::path make_checkpoint(const Settings& settings, const std::string& name, const std::vector<std::string>& arguments) {
  const fs::path folder = settings.out / "checkpoints" / name;
  if (fs::exists(folder)) return folder;
  const fs::path partial = folder.string() + ".partial";
  fs::remove_all(partial);
  fs::create_directories(folder.parent_path());
  std::vector<std::string> command = {settings.program("qwen3vl-synth")};
  command.insert(command.end(), arguments.begin(), arguments.end());
  command.emplace_back(partial);
  run_child(command);
  fs::rename(partial, folder);
  return folder;
}

Files shards_of(const fs::path& checkpoint) {
  Files shards;
  for (const fs::directory_entry& entry : fs::directory_iterator(checkpoint))
    if (entry.path().extension() == ".safetensors") shards.push_back(entry.path());
  if (shards.empty()) throw Error(ErrorKind::bad_input, fmt::format("{}: holds no *.safetensors", checkpoint.string()));
  std::ranges::sort(shards);
  return shards;
}

}  // namespace q3vl
