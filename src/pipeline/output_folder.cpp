#include "pipeline/output_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <ranges>
#include <span>
#include <system_error>
#include <utility>

#include "base/json.h"
#include "contract/file_names.h"
#include "package/genai/genai_config.h"
#include "package/manifest.h"

namespace q3vl {
namespace {

namespace fs = std::filesystem;

// Tells a folder of this program from one that only happens to end in ".partial". It is locked while a run writes, and
// holds a JSON array with the names of the files that the run makes: what a killed run left is known by them.
constexpr const char* kMarker = ".qwen3vl-export-in-progress";
constexpr const char* kSuffix = ".partial";

constexpr std::size_t kMostNames = 5;  // that a message has

[[noreturn]] void fail(const fs::path& path, const std::string& message) {
  throw Error(ErrorKind::output, fmt::format("{}: {}", path.string(), message));
}

[[noreturn]] void fail(const fs::path& path, std::string_view action, int error) {
  throw Error(is_shortage(error) ? ErrorKind::internal : ErrorKind::output,
              fmt::format("{}: cannot {}: {}", path.string(), action, os_reason(path, error)));
}

void expect_done(const std::error_code& error, const fs::path& path, std::string_view action) {
  if (error) fail(path, action, error.value());
}

fs::path absolute_folder(const fs::path& path) {
  std::error_code error;
  fs::path full = fs::absolute(path, error);
  if (!error) full = fs::weakly_canonical(full, error);
  expect_done(error, path, "find the folder");
  return full.has_filename() ? full : full.parent_path();
}

bool contains(const fs::path& folder, const fs::path& path) {
  return std::mismatch(folder.begin(), folder.end(), path.begin(), path.end()).first == folder.end();
}

/// Of the path itself, should it be a link. "not found" is a type.
fs::file_type type_of(const fs::path& path) {
  std::error_code error;
  const fs::file_type type = fs::symlink_status(path, error).type();
  if (type == fs::file_type::none) fail(path, "examine", error.value());
  return type;
}

bool is_there(const fs::path& path) {
  return type_of(path) != fs::file_type::not_found;
}

/// What the manifest.json of this program lists, and the manifest itself; nothing if the folder has no such manifest.
std::optional<std::set<std::string>> files_of_manifest(const fs::path& folder) {
  try {
    const fs::path path = folder / kManifestFile;
    const Json document = read_json_file(path);
    const JsonObject manifest(document, path.string());
    if (!manifest.object("versions").has(kProgramName)) return std::nullopt;
    std::set<std::string> files = {kManifestFile};
    for (const auto& [name, file] : listed_files(manifest)) files.insert(name);
    return files;
  } catch (const Error&) {
    return std::nullopt;  // unreadable or something else's: not ours to replace
  }
}

/// What the marker lists; nothing for a run that was killed before it wrote the list, and so before it made a file.
std::set<std::string> files_of_marker(const fs::path& folder) {
  try {
    const fs::path path = folder / kMarker;
    std::set<std::string> files;
    for (const Json& name : parse_json(read_text_file(path), path.string()))
      if (name.is_string() && lies_inside(name.get_ref<const std::string&>()))
        files.insert(name.get_ref<const std::string&>());
    return files;
  } catch (const Error&) {
    return {};
  }
}

/// "\"a\", \"b\"" for messages; some of them when they are many.
std::string quoted(const std::vector<std::string>& names) {
  const std::size_t shown = std::min(names.size(), kMostNames);
  std::string text =
      fmt::format("\"{}\"", fmt::join(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(shown), "\", \""));
  if (names.size() > shown) text += fmt::format(" and {} more", names.size() - shown);
  return text;
}

/// Whether another file system begins here, or a part of this one that is mounted by itself.
bool is_mount_point(const fs::path& folder) {
  struct statx status {};
  if (::statx(AT_FDCWD, folder.c_str(), 0, 0, &status) != 0) fail(folder, "examine", errno);
  if ((status.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0) return true;
  struct statx above {};
  if (::statx(AT_FDCWD, folder.parent_path().c_str(), 0, 0, &above) != 0) fail(folder.parent_path(), "examine", errno);
  return status.stx_dev_major != above.stx_dev_major || status.stx_dev_minor != above.stx_dev_minor;
}

/// The two folders that can_exchange() makes.
std::array<fs::path, 2> exchanged_in(const fs::path& folder) {
  return {folder / ".qwen3vl-export-exchange-1", folder / ".qwen3vl-export-exchange-2"};
}

/// Whether the file system can exchange two folders in one step, tried on two inside `folder`.
bool can_exchange(const fs::path& folder) {
  const std::array<fs::path, 2> exchanged = exchanged_in(folder);
  for (const fs::path& path : exchanged)
    if (::mkdir(path.c_str(), 0777) != 0) fail(path, "create the folder", errno);
  const bool done = ::renameat2(AT_FDCWD, exchanged[0].c_str(), AT_FDCWD, exchanged[1].c_str(), RENAME_EXCHANGE) == 0;
  const int reason = errno;
  for (const fs::path& path : exchanged)
    if (::rmdir(path.c_str()) != 0) fail(path, "remove", errno);
  if (!done && reason != EINVAL && reason != ENOSYS && reason != EOPNOTSUPP) fail(exchanged[0], "rename", reason);
  return done;
}

/// https://reproducible-builds.org/specs/source-date-epoch
std::optional<std::int64_t> source_date() {
  const char* text = std::getenv("SOURCE_DATE_EPOCH");  // NOLINT(concurrency-mt-unsafe): nothing here sets variables
  if (text == nullptr || *text == '\0') return std::nullopt;
  std::int64_t seconds = 0;
  const char* const last = text + std::strlen(text);
  const auto [end, error] = std::from_chars(text, last, seconds);
  if (error != std::errc() || end != last || seconds < 0)
    throw Error(ErrorKind::usage,
                fmt::format("SOURCE_DATE_EPOCH is \"{}\", expected whole seconds since 1970, as in 1700000000", text));
  return seconds;
}

}  // namespace

SpareDescriptors::SpareDescriptors(const fs::path& folder) {
  for (int& descriptor : descriptors_) {
    descriptor = ::open(folder.c_str(), O_PATH | O_CLOEXEC);
    if (descriptor >= 0) continue;
    const int error = errno;
    release();
    fail(folder, "open the folder", error);
  }
}

void SpareDescriptors::release() {
  for (int& descriptor : descriptors_)
    if (descriptor >= 0) ::close(std::exchange(descriptor, -1));
}

OutputFolder::OutputFolder(const fs::path& output, const fs::path& checkpoint, bool force, std::string what)
    : output_(absolute_folder(output)),
      partial_(output_.string() + kSuffix),
      what_(std::move(what)),
      time_(source_date()) {
  const fs::path source = absolute_folder(checkpoint);
  if (contains(output_, source) || contains(source, output_))
    fail(output,
         fmt::format("the output folder and the checkpoint {} must not contain each other", checkpoint.string()));
  refuse_unless_free(force);
  make();
  try {
    if (!replaced_.empty() && !can_exchange(partial_))
      fail(output_,
           fmt::format("its file system cannot exchange two folders in one step, which --force needs to lose neither "
                       "the old {0} nor the new one; choose another folder, or remove the old {0} first",
                       what_));
  } catch (...) {
    remove();
    throw;
  }
}

/// By all that can be known before.
void OutputFolder::refuse_unless_free(bool force) {
  fs::path parent = partial_.parent_path();
  for (; !is_there(parent); parent = parent.parent_path()) made_.insert(made_.begin(), parent);
  const auto longest = ::pathconf(parent.c_str(), _PC_NAME_MAX);
  if (const std::size_t bytes = partial_.filename().string().size();
      longest > 0 && bytes > static_cast<std::size_t>(longest))
    fail(output_, fmt::format("its name is too long: it is made under that name and \"{}\", which has {} bytes, and "
                              "the file system takes {}; choose a shorter name",
                              kSuffix, bytes, longest));
  if (is_there(output_)) {
    if (type_of(output_) != fs::file_type::directory) fail(output_, "exists and is not a folder");
    if (is_mount_point(output_))
      fail(output_, fmt::format("is a mount point, and a finished {} is put in place by renaming it, which no mount "
                                "point can be; choose a folder inside it, such as {}",
                                what_, (output_ / what_).string()));
    if (!names_in(output_).empty()) {
      if (!force)
        fail(output_, fmt::format("the output folder is not empty; choose another one, or replace the {} in it with "
                                  "--force",
                                  what_));
      const auto files = files_of_manifest(output_);
      if (!files)
        fail(output_,
             "--force replaces what this program wrote, but the folder has no manifest.json of it; empty it by hand if "
             "that is meant");
      if (const auto others = other_files(output_, *files); !others.empty())
        fail(output_,
             fmt::format("--force replaces what this program wrote, but the folder also has {}; move that away, "
                         "or choose another folder",
                         quoted(others)));
      replaced_ = *files;
    }
  }
  if (!is_there(partial_)) return;
  // Without the marker it may be one that a killed run was about to rename, or the one that it had replaced.
  if (type_of(partial_) != fs::file_type::directory ||
      (!is_there(partial_ / kMarker) && !names_in(partial_).empty() && !files_of_manifest(partial_)))
    fail(partial_, "is in the way, and not left behind by this program; move it away");
}

/// Makes the partial folder and the folders above it, locks it, and removes what a killed run left in it.
void OutputFolder::make() {
  std::error_code error;
  bool fresh = false;
  bool marked = false;
  for (const fs::path& folder : made_)
    if (!error) fs::create_directory(folder, error);
  if (!error) fresh = fs::create_directory(partial_, error);
  try {
    expect_done(error, partial_, "create the folder");
    marked = is_there(partial_ / kMarker);
    lock_.emplace(File::open_exclusively(partial_ / kMarker));
    spare_.emplace(partial_);
    if (!fresh) remove_leftovers();
  } catch (...) {
    // What another run has put something into stays: it is not empty.
    std::error_code ignored;
    spare_.reset();
    if (lock_ && !marked) fs::remove(partial_ / kMarker, ignored);
    lock_.reset();
    if (fresh) fs::remove(partial_, ignored);
    for (const fs::path& folder : made_ | std::views::reverse) fs::remove(folder, ignored);
    throw;
  }
}

void OutputFolder::remove_leftovers() {
  for (const fs::path& folder : exchanged_in(partial_)) ::rmdir(folder.c_str());
  std::set<std::string> files = files_of_marker(partial_);
  files.merge(files_of_manifest(partial_).value_or(std::set<std::string>()));
  files.insert(kMarker);
  if (const auto others = other_files(partial_, files); !others.empty())
    fail(partial_, fmt::format("is in the way: a run that was killed left it behind, and it has {}, which this program "
                               "did not write; move that away",
                               quoted(others)));
  remove_all_but_marker(files);
}

/// The manifest goes last, so that a run that is killed here leaves what the next one recognises.
void OutputFolder::remove_all_but_marker(std::set<std::string> files) const {
  files.erase(kMarker);
  const bool manifest = files.erase(kManifestFile) > 0;
  remove_files(partial_, files);
  if (manifest) remove_files(partial_, {kManifestFile});
}

OutputFolder::~OutputFolder() {
  if (lock_) remove();
}

void OutputFolder::remove() {
  std::error_code ignored;  // there is nobody left to tell, and the next run removes what stays
  spare_.reset();
  try {
    for (const fs::path& folder : exchanged_in(partial_)) ::rmdir(folder.c_str());
    remove_all_but_marker(files_);
  } catch (const std::exception&) {
    return;  // the marker stays with what could not be removed
  }
  fs::remove(partial_ / kMarker, ignored);
  fs::remove(partial_, ignored);
  for (const fs::path& folder : made_ | std::views::reverse) fs::remove(folder, ignored);
}

void OutputFolder::make_room(const std::vector<ExportedFile>& files) {
  const DiskSpace disk = disk_space(partial_);
  for (const ExportedFile& file : files)
    if (const fs::path folder = fs::path(file.name).parent_path(); !folder.empty()) folders_.insert(folder.string());
  std::uint64_t needed = disk.block_bytes * (1 + folders_.size());
  for (const ExportedFile& file : files) {
    needed += (file.bytes + disk.block_bytes - 1) / disk.block_bytes * disk.block_bytes;
    const std::size_t length = (partial_ / file.name).string().size();
    if (length >= PATH_MAX)
      fail(output_, fmt::format("its path is too long: that of {} in {} would have {} bytes, and the system takes {}; "
                                "choose a shorter one",
                                file.name, partial_.filename().string(), length, PATH_MAX - 1));
    if (const auto limit = file_size_limit(); limit && file.bytes > *limit)
      fail(output_, fmt::format("{} needs {} bytes, but the limit on the size of a file is {} bytes here; raise it "
                                "(ulimit -f unlimited)",
                                file.name, file.bytes, *limit));
  }
  if (disk.bytes < needed)
    fail(output_, fmt::format("the {} needs {} bytes, but the disk has {} free", what_, needed, disk.bytes));
  if (const std::size_t count = files.size() + folders_.size(); disk.files && *disk.files < count)
    fail(output_,
         fmt::format("the {} needs {} files, but the disk has room for {} more (inodes)", what_, count, *disk.files));
  for (const ExportedFile& file : files) files_.insert(file.name);
  const std::string list = Json(files_).dump();
  lock_->write_at(0, std::as_bytes(std::span(list)));
  lock_->sync();  // before any of them is there
  for (const std::string& folder : folders_) {
    std::error_code error;
    fs::create_directory(partial_ / folder, error);
    expect_done(error, partial_ / folder, "create the folder");
  }
}

/// Its entries durable, and of the time that is asked for.
void OutputFolder::finish(const fs::path& folder) const {
  if (time_) {
    for (const std::string& name : names_in(folder)) set_time_durably(folder / name, *time_);
    set_time_durably(folder, *time_);
  }
  sync_folder(folder);
}

void OutputFolder::commit() {
  if (::unlink((partial_ / kMarker).c_str()) != 0) fail(partial_ / kMarker, "remove", errno);
  for (const std::string& folder : folders_) finish(partial_ / folder);
  finish(partial_);
  for (const fs::path& folder : made_) sync_folder(folder.parent_path());
  // Exchanged, the old one is never missing: it takes the partial folder's name and is removed from there. Without
  // RENAME_EXCHANGE the system refuses when somebody else has put something there.
  const bool replaces = !replaced_.empty();
  if (::renameat2(AT_FDCWD, partial_.c_str(), AT_FDCWD, output_.c_str(), replaces ? RENAME_EXCHANGE : 0) != 0)
    fail(output_, fmt::format("rename {} to it", partial_.string()), errno);
  lock_.reset();
  spare_.reset();
  std::string trouble;
  try {
    sync_folder(output_.parent_path());
    if (replaces) remove_replaced();
    return;
  } catch (const Error& error) {
    trouble = error.what();
  } catch (const std::bad_alloc&) {
    trouble = "there is no memory to finish with";
  }
  lock_.reset();  // the old one stays: after a loss of power it may be the one that has the name
  fail(output_, fmt::format("the new {} is complete and in place, but {}{}", what_, trouble,
                            replaces ? fmt::format("; what is left of the old one is in {}", partial_.string()) : ""));
}

/// Removes the package that was replaced. It is locked: another run that comes upon it would take it for its own.
void OutputFolder::remove_replaced() {
  try {
    lock_.emplace(File::open_exclusively(partial_ / kMarker));
  } catch (const Error&) {
    if (files_of_manifest(partial_)) throw;
    return;  // another run has it already
  }
  remove_all_but_marker(replaced_);
  if (::unlink((partial_ / kMarker).c_str()) != 0) fail(partial_ / kMarker, "remove", errno);
  lock_.reset();
  if (::rmdir(partial_.c_str()) == 0) return;
  if (errno != ENOTEMPTY) fail(partial_, "remove", errno);
  fail(partial_, fmt::format("has {}, put there during the run", quoted(names_in(partial_))));
}

}  // namespace q3vl
