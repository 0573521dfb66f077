// The checkpoint's files that go into the package as they are.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace q3vl {

struct Asset {
  std::string name;
  std::string contents;  ///< what is in it, in a few words
  std::uint64_t bytes;
};

/// What a file of a checkpoint is for.
enum class AssetUse { text, model, pictures };

/// The files of `checkpoint` for one use: tokenizer, chat template and sampling settings; the model's config; image and
/// video settings. None is required.
std::vector<Asset> assets_for(const std::filesystem::path& checkpoint, AssetUse use);

/// The files of `checkpoint` that a package takes along. tokenizer.json, tokenizer_config.json and a chat template (in
/// its own file or inside tokenizer_config.json) are required: no client starts without them. Throws Error(bad_input).
std::vector<Asset> assets(const std::filesystem::path& checkpoint, bool pictures);

/// Copies them into `folder`, synced to the disk. Returns the SHA-256 of each by name. Throws Error,
/// also for a file whose size has changed.
std::map<std::string, std::string> copy_assets(const std::filesystem::path& checkpoint,
                                               const std::vector<Asset>& assets, const std::filesystem::path& folder);

}  // namespace q3vl
