// Files by descriptor, every call checked: an error names the path and the operating system's reason.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace q3vl {

/// What tells that a file is still the one that it was, with the same contents. Times in nanoseconds.
struct FileState {
  std::uint64_t device;
  std::uint64_t inode;
  std::uint64_t size;
  std::int64_t modified;
  std::int64_t changed;  ///< of the inode: moves with every write, and cannot be set back

  bool operator==(const FileState&) const = default;
};

class File {
 public:
  /// Opens an existing regular file for reading, links followed. Throws Error(bad_input).
  static File open(const std::filesystem::path& path);

  /// Creates a file that must not exist yet, for writing. Throws Error(output).
  static File create(const std::filesystem::path& path);

  /// Opens a file for reading and writing, made empty if it does not exist, that no other process has opened this way
  /// until it is closed. Throws Error(output), also when another one has.
  static File open_exclusively(const std::filesystem::path& path);

  File(File&& other) noexcept;
  File& operator=(File&&) = delete;
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File();

  const std::filesystem::path& path() const { return path_; }
  std::uint64_t size() const;

  /// For a file from open(): throws Error(bad_input) unless it, and what its path leads to, is as it was then.
  void expect_unchanged() const;

  /// Reads exactly `into.size()` bytes at `offset`. Throws Error(bad_input) on failure or when the file ends before.
  void read_at(std::uint64_t offset, std::span<std::byte> into) const;

  /// The same for bytes that nobody wants again soon: what the page cache did not hold before, it does not hold
  /// afterwards, where the system can do that.
  void read_once_at(std::uint64_t offset, std::span<std::byte> into) const;

  /// Writes all of `bytes` at `offset`. Throws Error(output).
  void write_at(std::uint64_t offset, std::span<const std::byte> bytes) const;

  /// The same for bytes that nobody wants soon: they start for the disk at once, so that finish() has less to wait
  /// for, and where the system can do that they do not stay in the page cache.
  void write_once_at(std::uint64_t offset, std::span<const std::byte> bytes) const;

  /// Sets the file's size, reserving nothing. Throws Error(output).
  void resize(std::uint64_t size) const;

  /// Sets the file's size and reserves room for it on the disk where the file system can. Throws Error(output),
  /// also when the room is not there.
  void reserve(std::uint64_t size) const;

  /// fsync: what was written is on the disk. Throws Error(output).
  void sync() const;

  /// fsync and close, both checked. Throws Error(output).
  void finish();

 private:
  /// Not open yet: no memory is needed any more once it is.
  explicit File(std::filesystem::path path) : path_(std::move(path)) {}

  // With the flags of preadv2() and pwritev2(), dropped if the system does not know them; write() returns those used.
  void read(std::uint64_t offset, std::span<std::byte> into, int flags) const;
  int write(std::uint64_t offset, std::span<const std::byte> bytes, int flags) const;

  std::filesystem::path path_;
  int descriptor_ = -1;
  FileState opened_{};  ///< when open() opened it
};

/// Whether there is anything under this name, also a link that leads nowhere or round in a circle, or something that
/// may not be examined: what opens it says what is wrong with it.
bool path_exists(const std::filesystem::path& path);

/// The whole of a small text file. Throws Error(bad_input) when it cannot be read or is larger than `limit` bytes.
std::string read_text_file(const std::filesystem::path& path, std::uint64_t limit = 256U << 20);

/// Throws Error(bad_input) where Git has left a pointer in the place of a large file: `beginning` is what it begins
/// with.
void refuse_lfs_pointer(const std::filesystem::path& path, std::string_view beginning);

/// Creates `path` with `text`, synced to the disk. Throws Error(output).
void write_text_file(const std::filesystem::path& path, const std::string& text);

/// The same under a name of its own first ("<path>.<process id>.partial"), then put in place of `path` in one step: the
/// file is the old one or the new one. Throws Error(output), and leaves the old one then.
void replace_text_file(const std::filesystem::path& path, const std::string& text);

/// Renames a file that is synced, and syncs the folder. Throws Error(output).
void rename_durably(const std::filesystem::path& from, const std::filesystem::path& to);

/// Flushes a folder's entries (created, renamed files) to the disk. Throws Error(output).
void sync_folder(const std::filesystem::path& path);

/// Whether `name` is the path of a file in the folder that it is relative to, or below.
bool lies_inside(const std::string& name);

/// The names of what is in a folder, in no order. Throws Error(output).
std::vector<std::string> names_in(const std::filesystem::path& folder);

/// Lists what is below `folder` and is not in `names`, which are paths of files relative to it: other files, links,
/// and folders that lead to none of `names` (with a "/" at the end), in the order of the alphabet. Links are not
/// followed. Throws Error(output).
std::vector<std::string> other_files(const std::filesystem::path& folder, const std::set<std::string>& names);

/// Removes the files `names` below `folder`, and folders inside it that are empty then. `folder` itself and everything
/// other_files() lists stays, also when it was put there meanwhile. Links are not followed. Throws Error(output).
void remove_files(const std::filesystem::path& folder, const std::set<std::string>& names);

/// Sets when a file or a folder was last read and changed, in seconds since 1970, and syncs it. Throws Error(output).
void set_time_durably(const std::filesystem::path& path, std::int64_t seconds);

/// What a disk has left for this user.
struct DiskSpace {
  std::uint64_t bytes;
  std::uint64_t block_bytes;           ///< of which each file takes a whole number
  std::optional<std::uint64_t> files;  ///< nothing where there is no limit
};

/// Of the disk that `path`, which exists, is on. Throws Error(output).
DiskSpace disk_space(const std::filesystem::path& path);

/// The largest file that this process may write (RLIMIT_FSIZE), if there is a limit.
std::optional<std::uint64_t> file_size_limit();

/// Whether `error` says that the process, or the whole system, has too little memory or too few open files.
bool is_shortage(int error);

/// The system's words for `error`, which a call for `path` gave, with what there is left where something has run out.
std::string os_reason(const std::filesystem::path& path, int error);

}  // namespace q3vl
