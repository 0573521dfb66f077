#include "checkpoint/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/json.h"
#include "checkpoint/checkpoint_writing.h"
#include "checkpoint/safetensors_header.h"
#include "checkpoint/shard_index.h"
#include "contract/file_names.h"
#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

namespace fs = std::filesystem;

/// Empty after a fault.
WeightMap read_index(const fs::path& path, const Checkpoint::FaultHandler& fault) {
  try {
    const std::string text = read_text_file(path, kIndexJson.bytes);
    refuse_lfs_pointer(path, text);
    return parse_shard_index(text, path.string());
  } catch (const Error& error) {
    fault(error.what());
    return {};
  }
}

/// The names of all files in `folder` that are safetensors files by their names.
std::set<std::string> safetensors_files(const fs::path& folder) {
  std::set<std::string> names;
  std::error_code failure;
  fs::directory_iterator entries(folder, failure);
  if (failure)
    throw Error(ErrorKind::bad_input,
                fmt::format("{}: cannot list the folder: {}", folder.string(), failure.message()));
  for (const fs::directory_entry& entry : entries) {
    std::error_code not_readable;
    if (entry.is_regular_file(not_readable) && entry.path().extension() == ".safetensors")
      names.insert(entry.path().filename().string());
  }
  return names;
}

struct Header {
  std::string json;
  std::uint64_t data_begin;  ///< where the tensors behind it begin
  std::uint64_t data_bytes;
};

Header read_header(const File& file) {
  const std::string path = file.path().string();
  const std::uint64_t size = file.size();
  if (size < 8)
    throw Error(ErrorKind::bad_input,
                fmt::format("{}: is {} bytes long, too short for a safetensors file", path, size));
  std::string beginning(std::min<std::uint64_t>(size, 64), '\0');
  file.read_at(0, std::as_writable_bytes(std::span(beginning)));
  refuse_lfs_pointer(file.path(), beginning);
  std::uint64_t length = 0;
  for (int i = 7; i >= 0; --i)
    length = length << 8 | static_cast<unsigned char>(beginning[static_cast<std::size_t>(i)]);
  if (length > kSafetensorsJson.bytes || length > size - 8)
    throw Error(ErrorKind::bad_input, fmt::format("{}: its first 8 bytes announce a header of {} bytes, but the file "
                                                  "has {} and the format allows {}; it is not a "
                                                  "safetensors file, or was cut short",
                                                  path, length, size, kSafetensorsJson.bytes));
  std::string json(length, '\0');
  file.read_at(8, std::as_writable_bytes(std::span(json)));
  if (json.empty() || json.front() != '{')
    throw Error(ErrorKind::bad_input,
                fmt::format("{}: its header does not begin with {{; it is not a safetensors file", path));
  return {.json = std::move(json), .data_begin = 8 + length, .data_bytes = size - 8 - length};
}

}  // namespace

Checkpoint Checkpoint::open(const fs::path& folder) {
  return open(folder, [](const std::string& message) { throw Error(ErrorKind::bad_input, message); });
}

Checkpoint Checkpoint::open(const fs::path& folder, const FaultHandler& fault) {
  std::error_code not_examined;
  if (!fs::is_directory(folder, not_examined))
    throw Error(ErrorKind::bad_input,
                fmt::format("{}: is not a folder; expected a checkpoint folder with config.json and *.safetensors",
                            folder.string()));
  const fs::path index = folder / kIndexFile;
  const fs::path single = folder / kWeightsFile;
  const WeightMap listed = path_exists(index) ? read_index(index, fault) : WeightMap{};
  const bool sharded = !listed.empty();
  std::set<std::string> names;
  for (const auto& [tensor, shard] : listed) names.insert(shard);
  if (!sharded && path_exists(single)) names.insert(kWeightsFile);
  if (sharded && path_exists(single) && !names.contains(kWeightsFile))
    fault(
        fmt::format("{}: lies beside {}, which does not name it; Hugging Face would read the one, and the index names "
                    "others; remove what does not belong there",
                    single.string(), kIndexFile));
  if (names.empty()) {
    if (!path_exists(index))
      fault(fmt::format("{}: is missing, and so is {}; expected a checkpoint in the safetensors format",
                        single.string(), kIndexFile));
    names = safetensors_files(folder);
  }

  Checkpoint checkpoint;
  checkpoint.folder_ = folder;
  std::set<std::string> opened;
  for (const std::string& name : names) {
    const fs::path path = folder / name;
    if (!path_exists(path)) {
      fault(fmt::format("{}: is missing, but {} names it; the download is incomplete", path.string(), kIndexFile));
      continue;
    }
    try {
      checkpoint.shards_.push_back(File::open(path));
    } catch (const Error& error) {
      fault(error.what());
      continue;
    }
    opened.insert(name);
    for (TensorInfo& tensor : checkpoint.tensors_of_last_shard()) {
      if (sharded) {
        const auto place = listed.find(tensor.name);
        if (place == listed.end() || place->second != name)
          fault(fmt::format("{}: holds the tensor \"{}\", which {} {}; the files do not belong together", path.string(),
                            tensor.name, kIndexFile,
                            place == listed.end() ? "does not list" : "places in " + place->second));
      } else if (const TensorInfo* twin = checkpoint.find(tensor.name)) {
        fault(fmt::format("{}: holds the tensor \"{}\", which {} holds too; the files do not belong together",
                          path.string(), tensor.name, checkpoint.shards_[twin->shard].path().filename().string()));
      }
      checkpoint.add(std::move(tensor));
    }
  }
  for (const auto& [tensor, shard] : listed)
    if (!checkpoint.find(tensor) && opened.contains(shard))
      fault(fmt::format("{}: places the tensor \"{}\" in {}, which does not hold it; the files do not belong together",
                        index.string(), tensor, shard));
  return checkpoint;
}

Checkpoint Checkpoint::open_file(const fs::path& path) {
  Checkpoint checkpoint;
  checkpoint.folder_ = path.parent_path();
  checkpoint.shards_.push_back(File::open(path));
  for (TensorInfo& tensor : checkpoint.tensors_of_last_shard()) checkpoint.add(std::move(tensor));
  return checkpoint;
}

std::map<std::string, std::string> Checkpoint::read_metadata(const fs::path& path) {
  return parse_safetensors_metadata(read_header(File::open(path)).json, path.string());
}

void Checkpoint::expect_unchanged() const {
  for (const File& shard : shards_) shard.expect_unchanged();
}

std::vector<TensorInfo> Checkpoint::tensors_of_last_shard() const {
  const File& file = shards_.back();
  const Header header = read_header(file);
  std::vector<TensorInfo> tensors;
  for (SafetensorsEntry& entry : parse_safetensors_header(header.json, header.data_bytes, file.path().string()))
    tensors.push_back({.name = std::move(entry.name),
                       .type = entry.type,
                       .shape = std::move(entry.shape),
                       .shard = shards_.size() - 1,
                       .offset = header.data_begin + entry.begin,
                       .bytes = entry.end - entry.begin});
  return tensors;
}

void Checkpoint::add(TensorInfo tensor) {
  std::string name = tensor.name;
  tensors_.emplace(std::move(name), std::move(tensor));
}

void Checkpoint::rename(const std::function<std::string(const std::string& name)>& new_name) {
  std::map<std::string, TensorInfo> renamed;
  for (const auto& [name, tensor] : tensors_) {
    const std::string called = new_name(name);
    const auto [place, is_new] = renamed.try_emplace(called, tensor);
    place->second.name = called;
    if (!is_new)
      throw Error(
          ErrorKind::bad_input,
          fmt::format("{}: the tensor \"{}\" is there under two names; remove the one that does not belong there",
                      folder_.string(), called));
  }
  tensors_ = std::move(renamed);
}

const TensorInfo* Checkpoint::find(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

}  // namespace q3vl
