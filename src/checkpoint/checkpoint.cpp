#include "checkpoint/checkpoint.h"

#include <fmt/format.h>

#include <array>
#include <set>

#include "base/json.h"
#include "checkpoint/checkpoint_writing.h"
#include "checkpoint/safetensors_header.h"

namespace q3vl {
namespace {

namespace fs = std::filesystem;

/// Tensor name → shard file name.
using WeightMap = std::map<std::string, std::string>;

WeightMap parse_index(const fs::path& path) {
  const Json document = read_json_file(path);
  const JsonObject root(document, path.string());
  const JsonObject map = root.object("weight_map");
  WeightMap shards;
  for (const auto& [name, value] : map.json().items()) {
    const std::string shard = map.string(name);
    if (shard.empty() || shard == "." || shard == ".." ||
        shard.find_first_of(std::string("/\\\0", 3)) != std::string::npos)
      map.fail(fmt::format("tensor \"{}\" is said to be in {}, expected a plain file name beside the index", name,
                           describe(value)));
    shards.emplace(name, shard);
  }
  if (shards.empty()) map.fail("weight_map names no tensor");
  return shards;
}

/// Empty after a fault.
WeightMap read_index(const fs::path& path, const Checkpoint::FaultHandler& fault) {
  try {
    return parse_index(path);
  } catch (const Error& error) {
    fault(error.what());
    return {};
  }
}

/// The names of all files in `folder` that are safetensors files by their names.
std::set<std::string> safetensors_files(const fs::path& folder) {
  std::set<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder))
    if (entry.is_regular_file() && entry.path().extension() == ".safetensors")
      names.insert(entry.path().filename().string());
  return names;
}

/// The JSON of the header, and where the tensors behind it begin.
std::string read_header_text(const File& file, std::uint64_t& data_begin) {
  const std::string path = file.path().string();
  const std::uint64_t size = file.size();
  if (size < 8)
    throw Error(ErrorKind::bad_input,
                fmt::format("{}: is {} bytes long, too short for a safetensors file", path, size));
  std::array<unsigned char, 8> prefix{};
  file.read_at(0, std::as_writable_bytes(std::span(prefix)));
  std::uint64_t length = 0;
  for (int i = 7; i >= 0; --i) length = length << 8 | prefix[static_cast<std::size_t>(i)];
  if (length > kMaxSafetensorsHeader || length > size - 8)
    throw Error(ErrorKind::bad_input, fmt::format("{}: its first 8 bytes announce a header of {} bytes, but the file "
                                                  "has {} and the format allows {}; it is not a "
                                                  "safetensors file, or was cut short",
                                                  path, length, size, kMaxSafetensorsHeader));
  std::string json(length, '\0');
  file.read_at(8, std::as_writable_bytes(std::span(json)));
  if (json.empty() || json.front() != '{')
    throw Error(ErrorKind::bad_input,
                fmt::format("{}: its header does not begin with {{; it is not a safetensors file", path));
  data_begin = 8 + length;
  return json;
}

std::vector<SafetensorsEntry> read_header(const File& file, std::uint64_t& data_begin) {
  const std::string json = read_header_text(file, data_begin);
  return parse_safetensors_header(json, file.size() - data_begin, file.path().string());
}

}  // namespace

Checkpoint Checkpoint::open(const fs::path& folder) {
  return open(folder, [](const std::string& message) { throw Error(ErrorKind::bad_input, message); });
}

Checkpoint Checkpoint::open(const fs::path& folder, const FaultHandler& fault) {
  if (!fs::is_directory(folder))
    throw Error(ErrorKind::bad_input,
                fmt::format("{}: is not a folder; expected a checkpoint folder with config.json and *.safetensors",
                            folder.string()));
  const fs::path index = folder / kIndexFile;
  const WeightMap listed = fs::exists(index) ? read_index(index, fault) : WeightMap{};
  const bool sharded = !listed.empty();
  std::set<std::string> names;
  for (const auto& [tensor, shard] : listed) names.insert(shard);
  if (!sharded && fs::exists(folder / "model.safetensors")) names.insert("model.safetensors");
  if (names.empty()) {
    if (!fs::exists(index))
      fault(fmt::format("{}: is missing, and so is {}; expected a checkpoint in the safetensors format",
                        (folder / "model.safetensors").string(), index.filename().string()));
    names = safetensors_files(folder);
  }

  Checkpoint checkpoint;
  checkpoint.folder_ = folder;
  for (const std::string& name : names) {
    const fs::path path = folder / name;
    if (!fs::exists(path)) {
      fault(fmt::format("{}: is missing, but {} names it; the download is incomplete", path.string(),
                        index.filename().string()));
      continue;
    }
    checkpoint.shards_.push_back(File::open(path));
    std::uint64_t data_begin = 0;
    for (SafetensorsEntry& entry : read_header(checkpoint.shards_.back(), data_begin)) {
      if (sharded) {
        const auto place = listed.find(entry.name);
        if (place == listed.end() || place->second != name)
          fault(fmt::format("{}: holds the tensor \"{}\", which {} {}; the files do not belong together", path.string(),
                            entry.name, index.filename().string(),
                            place == listed.end() ? "does not list" : "places in " + place->second));
      } else if (const TensorInfo* twin = checkpoint.find(entry.name)) {
        fault(fmt::format("{}: holds the tensor \"{}\", which {} holds too; the files do not belong together",
                          path.string(), entry.name, checkpoint.shards_[twin->shard].path().filename().string()));
      }
      checkpoint.add(std::move(entry), data_begin);
    }
  }
  for (const auto& [tensor, shard] : listed)
    if (!checkpoint.find(tensor) && fs::exists(folder / shard))
      fault(fmt::format("{}: places the tensor \"{}\" in {}, which does not hold it; the files do not belong together",
                        index.string(), tensor, shard));
  return checkpoint;
}

Checkpoint Checkpoint::open_file(const fs::path& path) {
  Checkpoint checkpoint;
  checkpoint.folder_ = path.parent_path();
  checkpoint.shards_.push_back(File::open(path));
  std::uint64_t data_begin = 0;
  for (SafetensorsEntry& entry : read_header(checkpoint.shards_.back(), data_begin))
    checkpoint.add(std::move(entry), data_begin);
  return checkpoint;
}

std::map<std::string, std::string> Checkpoint::read_metadata(const fs::path& path) {
  const File file = File::open(path);
  std::uint64_t data_begin = 0;
  return parse_safetensors_metadata(read_header_text(file, data_begin), path.string());
}

void Checkpoint::add(SafetensorsEntry entry, std::uint64_t data_begin) {
  TensorInfo info{.name = entry.name,
                  .type = entry.type,
                  .shape = std::move(entry.shape),
                  .shard = shards_.size() - 1,
                  .offset = data_begin + entry.begin,
                  .bytes = entry.end - entry.begin};
  tensors_.emplace(std::move(entry.name), std::move(info));
}

const TensorInfo* Checkpoint::find(const std::string& name) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

}  // namespace q3vl
