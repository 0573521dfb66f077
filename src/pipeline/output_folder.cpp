#include "pipeline/output_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <ranges>
#include <system_error>

#include "base/file.h"
#include "base/json.h"
#include "package/genai_config.h"
#include "package/manifest.h"

namespace q3vl {
namespace {

namespace fs = std::filesystem;

// Tells a folder of this program from one that only happens to end in ".partial"; locked while a run writes.
constexpr const char* kMarker = ".qwen3vl-export-in-progress";

[[noreturn]] void fail(const fs::path& path, const std::string& message) {
  throw Error(ErrorKind::output, fmt::format("{}: {}", path.string(), message));
}

fs::path absolute_folder(const fs::path& path) {
  const fs::path full = fs::weakly_canonical(fs::absolute(path));
  return full.has_filename() ? full : full.parent_path();
}

bool contains(const fs::path& folder, const fs::path& path) {
  return std::mismatch(folder.begin(), folder.end(), path.begin(), path.end()).first == folder.end();
}

/// Whether the folder has a manifest.json of this program: of a package or of an extracted checkpoint.
bool is_ours(const fs::path& folder) {
  try {
    const Json document = read_json_file(folder / kManifestFile);
    return document.is_object() && document.contains("format") && document.contains("versions") &&
           document["versions"].is_object() && document["versions"].contains(kProgramName);
  } catch (const Error&) {
    return false;  // unreadable or something else's: not ours to replace
  }
}

}  // namespace

OutputFolder::OutputFolder(const fs::path& output, const fs::path& checkpoint, bool force, std::string what)
    : output_(absolute_folder(output)), partial_(output_.string() + ".partial"), what_(std::move(what)) {
  const fs::path source = absolute_folder(checkpoint);
  if (contains(output_, source) || contains(source, output_))
    fail(output,
         fmt::format("the output folder and the checkpoint {} must not contain each other", checkpoint.string()));
  if (fs::exists(output_)) {
    if (!fs::is_directory(output_)) fail(output, "exists and is not a folder");
    if (!fs::is_empty(output_)) {
      if (!force)
        fail(output, fmt::format("the output folder is not empty; choose another one, or replace the {} in it with "
                                 "--force",
                                 what_));
      if (!is_ours(output_))
        fail(output,
             "--force replaces what this program wrote, but the folder has no manifest.json of it; empty it by hand if "
             "that is meant");
    }
  }
  std::error_code error;
  // Without the marker it may be one that a killed run was about to rename, or the one that it had replaced.
  if (fs::exists(partial_) && !fs::exists(partial_ / kMarker) && !fs::is_empty(partial_) && !is_ours(partial_))
    fail(partial_, "is in the way, and not left behind by this program; move it away");
  for (fs::path parent = partial_.parent_path(); !fs::exists(parent); parent = parent.parent_path())
    made_.insert(made_.begin(), parent);
  fs::create_directories(partial_, error);
  if (error) {
    remove();
    fail(partial_, fmt::format("cannot create the folder: {}", error.message()));
  }
  lock_ = ::open((partial_ / kMarker).c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (lock_ < 0) {
    const int reason = errno;
    remove();
    fail(partial_, fmt::format("cannot create a file in it: {}", std::generic_category().message(reason)));
  }
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    ::close(lock_);
    committed_ = true;  // it is the other run's to remove
    fail(partial_, "another run is writing it");
  }
  for (const fs::directory_entry& entry : fs::directory_iterator(partial_))
    if (entry.path().filename() != kMarker) fs::remove_all(entry.path());
}

OutputFolder::~OutputFolder() {
  if (!committed_) remove();
  if (lock_ >= 0) ::close(lock_);
}

void OutputFolder::remove() {
  std::error_code ignored;  // there is nobody left to tell, and the next run removes what stays
  fs::remove_all(partial_, ignored);
  for (const fs::path& folder : made_ | std::views::reverse) fs::remove(folder, ignored);
}

void OutputFolder::require_free_space(std::uint64_t bytes) const {
  const std::uint64_t available = fs::space(partial_).available;
  if (available < bytes)
    fail(output_, fmt::format("the {} needs {} bytes, but the disk has {} free", what_, bytes, available));
}

void OutputFolder::commit() {
  fs::remove(partial_ / kMarker);
  sync_folder(partial_);
  const bool replaces = fs::exists(output_) && !fs::is_empty(output_);
  // Exchanged, the old one is never missing: it takes the partial folder's name and is removed from there.
  const unsigned flags = replaces ? RENAME_EXCHANGE : 0;
  if (::renameat2(AT_FDCWD, partial_.c_str(), AT_FDCWD, output_.c_str(), flags) != 0)
    fail(output_, fmt::format("cannot rename {} to it: {}", partial_.string(), std::generic_category().message(errno)));
  committed_ = true;
  sync_folder(output_.parent_path());
  if (replaces) fs::remove_all(partial_);
}

}  // namespace q3vl
