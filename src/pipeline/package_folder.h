// The folder that a package is made in, so that the output is the old one or the new one and never half of either.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace q3vl {

/// `<output>.partial`, from its creation to its renaming. Destroyed before commit() it is removed, with every folder
/// that was made for it. A partial folder that an earlier, killed run left behind is recognised and removed first.
class PackageFolder {
 public:
  /// Throws Error(output) when `output` is in use: not empty (unless `force` and it holds a package of this program),
  /// inside or around `checkpoint`, or being written by another run.
  PackageFolder(const std::filesystem::path& output, const std::filesystem::path& checkpoint, bool force);
  ~PackageFolder();
  PackageFolder(const PackageFolder&) = delete;
  PackageFolder& operator=(const PackageFolder&) = delete;

  /// Where to write.
  const std::filesystem::path& path() const { return partial_; }

  /// Throws Error(output) when the disk has less than `bytes` free.
  void require_free_space(std::uint64_t bytes) const;

  /// Makes what was written durable and puts it in place of `output`, in one step. Throws Error(output).
  void commit();

 private:
  void remove();

  std::filesystem::path output_;
  std::filesystem::path partial_;
  std::vector<std::filesystem::path> made_;  // parents that did not exist, outermost first
  int lock_ = -1;                            // of the marker file inside partial_
  bool committed_ = false;
};

}  // namespace q3vl
