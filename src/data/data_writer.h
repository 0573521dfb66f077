// The streaming writer: pulls rows of a weight, encodes them, writes them, lets them go.
#pragma once

#include <filesystem>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "base/file.h"
#include "data/file_digest.h"
#include "data/weight_encoder.h"

namespace q3vl {

/// What became of the weights.
struct WrittenData {
  std::map<std::string, std::string> sha256;  ///< of each data file, by name
  NonfiniteValues nonfinite;
};

class DataWriter {
 public:
  /// Creates every data file of `layout` in `folder` in its full size, with room for it on the disk. `layout` must
  /// outlive the writer. Throws Error(output), also when the disk is too small.
  DataWriter(const DataLayout& layout, const std::filesystem::path& folder);

  /// Fills the files, computes their digests on the way and syncs them to the disk; once. Bytes between the weights are
  /// zero, and none depends on the number of threads. Threads, `progress` and errors are those of encode_weights();
  /// Error(output) when the disk fails. Memory is that of encode_weights() and the scales of one weight.
  WrittenData write(const WeightSource& source, int threads, const std::function<void(std::uint64_t done)>& progress);

 private:
  /// The system lets one thread write to a file at a time. The others wait for it here, since there they would spin
  /// and keep a processor from encoding.
  struct DataFile {
    DataFile(File its_file, FileDigest its_digest) : file(std::move(its_file)), digest(std::move(its_digest)) {}

    File file;
    std::mutex writing;
    FileDigest digest;
    std::mutex digesting;
  };

  const DataLayout& layout_;
  std::map<std::string, DataFile> files_;
};

}  // namespace q3vl
