// The folder that a package or a checkpoint is made in, so that the output is the old one or the new one and never half
// of either.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace q3vl {

/// `<output>.partial`, from its creation to its renaming. Destroyed before commit() it is removed, with every folder
/// that was made for it. A partial folder that an earlier, killed run left behind is recognised and removed first.
/// What this program wrote is told from other people's folders by its manifest.json, so one must be written into it.
class OutputFolder {
 public:
  /// `what` the folder is to hold, in a word for messages: "package". Throws Error(output) when `output` is in use: not
  /// empty (unless `force` and this program wrote what it holds), inside or around `checkpoint`, or being written by
  /// another run.
  OutputFolder(const std::filesystem::path& output, const std::filesystem::path& checkpoint, bool force,
               std::string what);
  ~OutputFolder();
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;

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
  std::string what_;
  std::vector<std::filesystem::path> made_;  // parents that did not exist, outermost first
  int lock_ = -1;                            // of the marker file inside partial_
  bool committed_ = false;
};

}  // namespace q3vl
