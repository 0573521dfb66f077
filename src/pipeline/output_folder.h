// The folder that a package or a checkpoint is made in, so that the output is the old one or the new one and never half
// of either.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/file.h"
#include "qwen3vl_export/export.h"

namespace q3vl {

/// Descriptors that nothing uses, so that a folder and one inside it can be emptied when no more files can be opened.
class SpareDescriptors {
 public:
  /// Opens them on `folder`. Throws Error(output), and Error(internal) when there are too few.
  explicit SpareDescriptors(const std::filesystem::path& folder);
  ~SpareDescriptors() { release(); }
  SpareDescriptors(const SpareDescriptors&) = delete;
  SpareDescriptors& operator=(const SpareDescriptors&) = delete;

 private:
  void release();

  std::array<int, 2> descriptors_ = {-1, -1};
};

/// `<output>.partial`, from its creation to its renaming. If commit() was not called, the destructor removes it, with
/// every folder that was made for it.
///
/// Only files of this program are ever removed: those that the manifest.json of a folder lists, and those that a run
/// has listed in its partial folder before it made the first of them. Anything else in `output` or in the partial
/// folder of a killed run stops the constructor, which names it. So a manifest.json must be written into the folder.
class OutputFolder {
 public:
  /// `what` the folder is to hold, in a word for messages: "package". Throws Error(output) when `output` is in use: not
  /// empty (unless `force` and this program wrote all that it holds), inside or around `checkpoint`, or being written
  /// by another run; and where the finished folder could not be put: a mount point, a name too long. Throws
  /// Error(usage) when SOURCE_DATE_EPOCH is no time.
  OutputFolder(const std::filesystem::path& output, const std::filesystem::path& checkpoint, bool force,
               std::string what);
  ~OutputFolder();
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;

  /// Where to write.
  const std::filesystem::path& path() const { return partial_; }

  /// Makes the folders that `files` name; the run may make no other files. Throws Error(output) when there is no room
  /// for all of them: on the disk, for files of their sizes, for paths of their lengths.
  void make_room(const std::vector<ExportedFile>& files);

  /// Makes what was written, each file synced, durable and puts it in place of `output`, in one step. Its files are of
  /// the time that SOURCE_DATE_EPOCH says, if it does. Throws Error(output): `output` is the old one then, or the
  /// message says that it is the new one.
  void commit();

 private:
  void refuse_unless_free(bool force);
  void make();
  void remove_leftovers();
  void remove_all_but_marker(std::set<std::string> files) const;
  void remove();
  void remove_replaced();
  void finish(const std::filesystem::path& folder) const;

  std::filesystem::path output_;
  std::filesystem::path partial_;
  std::string what_;
  std::set<std::string> replaced_;           // files of this program in `output`, if it is replaced
  std::set<std::string> files_;              // that this run makes
  std::vector<std::filesystem::path> made_;  // folders that did not exist, outermost first; partial_ is not among them
  std::set<std::string> folders_;            // inside partial_, one level deep
  std::optional<std::int64_t> time_;         // of SOURCE_DATE_EPOCH
  std::optional<SpareDescriptors> spare_;    // to clean up with
  std::optional<File> lock_;                 // the marker file inside partial_; while it is open, partial_ is ours
};

}  // namespace q3vl
