// The streaming writer: pulls rows of a weight, encodes them, writes them, lets them go.
#pragma once

#include <filesystem>
#include <map>
#include <mutex>

#include "base/file.h"
#include "serialize/weight_encoder.h"

namespace q3vl {

class DataWriter {
 public:
  /// Creates every data file of `layout` in `folder` in its full size, with room for it on the disk. `layout` must
  /// outlive the writer. Throws Error(output), also when the disk is too small.
  DataWriter(const DataLayout& layout, const std::filesystem::path& folder);

  /// Fills the files and syncs them to the disk; once. Bytes between the weights are zero, and none depends on the
  /// number of threads. Threads, memory, `progress` and errors are those of encode_weights(); Error(output) when the
  /// disk fails.
  void write(const WeightSource& source, int threads, const std::function<void(std::uint64_t done)>& progress);

 private:
  /// The system lets one thread write to a file at a time. The others wait for it here, since there they would spin
  /// and keep a processor from encoding.
  struct DataFile {
    File file;
    std::mutex writing;
  };

  const DataLayout& layout_;
  std::map<std::string, DataFile> files_;
};

}  // namespace q3vl
