// A checkpoint folder: one model.safetensors, or shards with model.safetensors.index.json. Only headers are read here.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/data_type.h"
#include "base/file.h"
#include "base/shape.h"

namespace q3vl {

/// Where one tensor of a checkpoint lies, and what it is.
struct TensorInfo {
  std::string name;
  DataType type;
  Shape shape;
  std::size_t shard;     ///< index into Checkpoint::shards()
  std::uint64_t offset;  ///< of its first byte in the shard
  std::uint64_t bytes;
};

class Checkpoint {
 public:
  /// Takes a sentence about files that do not belong together.
  using FaultHandler = std::function<void(const std::string& message)>;

  /// Reads the index, if there is one, and the header of every shard. The index must list exactly the tensors of the
  /// shards, each in the shard named. Throws Error(bad_input).
  static Checkpoint open(const std::filesystem::path& folder);

  /// The same, but tells `fault` where open() would refuse an index, a shard that is missing or cannot be opened or one
  /// that the index does not describe, and goes on with the files that are there. Throws Error(bad_input) for a header
  /// that cannot be read.
  static Checkpoint open(const std::filesystem::path& folder, const FaultHandler& fault);

  /// Reads the header of a single safetensors file, whatever it is called. Throws Error(bad_input).
  static Checkpoint open_file(const std::filesystem::path& path);

  /// The metadata in the header of a single safetensors file. Throws Error(bad_input).
  static std::map<std::string, std::string> read_metadata(const std::filesystem::path& path);

  const std::filesystem::path& folder() const { return folder_; }
  const std::vector<File>& shards() const { return shards_; }
  const std::map<std::string, TensorInfo>& tensors() const { return tensors_; }

  /// Throws Error(bad_input) unless every shard is as it was when it was opened: what was read of them belongs
  /// together.
  void expect_unchanged() const;

  /// Calls every tensor what `new_name` says of its name. Throws Error(bad_input) when two get one name.
  void rename(const std::function<std::string(const std::string& name)>& new_name);

  /// The tensor called `name`, or null.
  const TensorInfo* find(const std::string& name) const;

 private:
  /// Reads the header of the shard that was opened last.
  std::vector<TensorInfo> tensors_of_last_shard() const;
  void add(TensorInfo tensor);

  std::filesystem::path folder_;
  std::vector<File> shards_;
  std::map<std::string, TensorInfo> tensors_;
};

}  // namespace q3vl
