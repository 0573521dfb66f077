#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <system_error>
#include <utility>

#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

namespace fs = std::filesystem;

// RWF_DONTCACHE of Linux 6.14, which glibc does not name yet. Older systems answer EOPNOTSUPP.
constexpr int kDontCache = 0x80;

/// `kind` unless the process has too little of something: that says nothing about the file.
[[noreturn]] void fail(ErrorKind kind, const fs::path& path, std::string_view action, int error) {
  throw Error(is_shortage(error) ? ErrorKind::internal : kind,
              fmt::format("{}: cannot {}: {}", path.string(), action, os_reason(path, error)));
}

/// What there is left on the disk that `path` is, or would be, on; empty where the system does not tell.
std::string free_text(const fs::path& path) {
  struct statvfs disk {};
  if (::statvfs(path.c_str(), &disk) != 0 && ::statvfs(path.parent_path().c_str(), &disk) != 0) return "";
  std::string text = fmt::format("{} bytes", std::uint64_t{disk.f_bavail} * disk.f_frsize);
  if (disk.f_files > 0) text += fmt::format(" and room for {} files", disk.f_favail);
  return fmt::format("; the disk has {} left", text);
}

/// A call again for as long as a signal cuts it short.
template <typename Call>
auto uninterrupted(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

/// fsync of something that can only be opened for reading; `before` is called with the descriptor.
template <typename Action>
void sync_opened(const fs::path& path, int flags, Action before) {
  const int descriptor = uninterrupted([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | flags); });
  if (descriptor < 0) fail(ErrorKind::output, path, "open", errno);
  const bool done = before(descriptor) == 0 && uninterrupted([&] { return ::fsync(descriptor); }) == 0;
  const int error = errno;
  ::close(descriptor);
  // EINVAL: a network file system without an fsync of folders.
  if (!done && !(flags == O_DIRECTORY && error == EINVAL)) fail(ErrorKind::output, path, "flush to the disk", error);
}

[[noreturn]] void refuse_input(const fs::path& path, const std::string& message) {
  throw Error(ErrorKind::bad_input, fmt::format("{}: {}", path.string(), message));
}

std::string_view kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a pipe";
  return S_ISSOCK(mode) ? "a socket" : "a device";
}

[[noreturn]] void fail_to_open(const fs::path& path, int error) {
  std::error_code not_a_link;
  const fs::path target = fs::read_symlink(path, not_a_link);
  if (error == ENOENT && !not_a_link)
    refuse_input(path, fmt::format("is a link to {}, which does not exist; the download is incomplete, or the cache "
                                   "that it leads into was cleaned",
                                   target.string()));
  fail(ErrorKind::bad_input, path, "open", error);
}

/// Of the file behind an open descriptor.
struct stat examine(const fs::path& path, int descriptor) {
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) fail(ErrorKind::bad_input, path, "examine", errno);
  return status;
}

FileState state_of(const struct stat& status) {
  constexpr std::int64_t kNanoseconds = 1'000'000'000;
  return {.device = status.st_dev,
          .inode = status.st_ino,
          .size = static_cast<std::uint64_t>(status.st_size),
          .modified = status.st_mtim.tv_sec * kNanoseconds + status.st_mtim.tv_nsec,
          .changed = status.st_ctim.tv_sec * kNanoseconds + status.st_ctim.tv_nsec};
}

struct CloseFolder {
  void operator()(DIR* stream) const { ::closedir(stream); }
};
using Folder = std::unique_ptr<DIR, CloseFolder>;

/// `name` in the folder that is open as `parent`.
Folder open_folder(int parent, const std::string& name, const fs::path& path) {
  const int descriptor = ::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (descriptor < 0) fail(ErrorKind::output, path, "open the folder", errno);
  Folder folder(::fdopendir(descriptor));
  if (folder) return folder;
  const int error = errno;
  ::close(descriptor);
  fail(ErrorKind::output, path, "list the folder", error);
}

/// Not by std::filesystem's iterators: they end the program when there is no memory.
std::vector<std::string> list(const Folder& folder, const fs::path& path) {
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(folder.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
    errno = 0;
  }
  if (errno != 0) fail(ErrorKind::output, path, "list the folder", errno);
  return names;
}

/// Whether one of `names` lies below `prefix`, which ends with a "/".
bool leads_to(const std::set<std::string>& names, const std::string& prefix) {
  const auto next = names.lower_bound(prefix);
  return next != names.end() && next->starts_with(prefix);
}

/// Adds to `others` what other_files() lists below the open folder, whose path from the top is `prefix`. Folders are
/// opened without following links, whoever puts one there meanwhile.
void add_other_files(const Folder& folder, const fs::path& path, const std::string& prefix,
                     const std::set<std::string>& names, std::vector<std::string>& others) {
  const int descriptor = ::dirfd(folder.get());
  for (const std::string& name : list(folder, path)) {
    struct stat status {};
    if (::fstatat(descriptor, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) continue;
      fail(ErrorKind::output, path / name, "examine", errno);
    }
    const std::string inside = prefix + name + "/";
    if (S_ISDIR(status.st_mode) && leads_to(names, inside))
      add_other_files(open_folder(descriptor, name, path / name), path / name, inside, names, others);
    else if (S_ISDIR(status.st_mode) || !S_ISREG(status.st_mode) || !names.contains(prefix + name))
      others.push_back(S_ISDIR(status.st_mode) ? inside : prefix + name);
  }
}

void remove_files_in(const Folder& folder, const fs::path& path, const std::string& prefix,
                     const std::set<std::string>& names) {
  const int descriptor = ::dirfd(folder.get());
  for (const std::string& name : list(folder, path)) {
    if (names.contains(prefix + name)) {
      if (::unlinkat(descriptor, name.c_str(), 0) != 0 && errno != ENOENT)
        fail(ErrorKind::output, path / name, "remove", errno);
    } else if (leads_to(names, prefix + name + "/")) {
      remove_files_in(open_folder(descriptor, name, path / name), path / name, prefix + name + "/", names);
      if (::unlinkat(descriptor, name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT && errno != ENOTEMPTY)
        fail(ErrorKind::output, path / name, "remove", errno);
    }
  }
}

}  // namespace

bool lies_inside(const std::string& name) {
  const fs::path path(name);
  return path.has_filename() && path.is_relative() && name.find('\\') == std::string::npos &&
         std::ranges::none_of(path, [](const fs::path& part) { return part == ".." || part == "."; });
}

std::vector<std::string> names_in(const fs::path& folder) {
  return list(open_folder(AT_FDCWD, folder.string(), folder), folder);
}

std::vector<std::string> other_files(const fs::path& folder, const std::set<std::string>& names) {
  std::vector<std::string> others;
  add_other_files(open_folder(AT_FDCWD, folder.string(), folder), folder, "", names, others);
  std::ranges::sort(others);
  return others;
}

void remove_files(const fs::path& folder, const std::set<std::string>& names) {
  remove_files_in(open_folder(AT_FDCWD, folder.string(), folder), folder, "", names);
}

bool is_shortage(int error) {
  return error == EMFILE || error == ENFILE || error == ENOMEM;
}

std::string os_reason(const fs::path& path, int error) {
  const std::string reason = std::generic_category().message(error);
  if (error == ENOSPC) return reason + free_text(path);
  if (error == EDQUOT) return reason + "; the quota of this user or folder is used up" + free_text(path);
  if (error == EFBIG)
    if (const auto limit = file_size_limit())
      return fmt::format("{}; the limit on the size of a file is {} bytes here (ulimit -f)", reason, *limit);
  if (error == EMFILE) {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0)
      return fmt::format("{}; the limit on open files is {} here, raise it (ulimit -n)", reason, limit.rlim_cur);
  }
  if (error == EACCES || error == EPERM) return fmt::format("{} for user {}", reason, ::geteuid());
  return reason;
}

DiskSpace disk_space(const fs::path& path) {
  struct statvfs disk {};
  if (uninterrupted([&] { return ::statvfs(path.c_str(), &disk); }) != 0)
    fail(ErrorKind::output, path, "ask how much room the disk has", errno);
  return {.bytes = std::uint64_t{disk.f_bavail} * disk.f_frsize,
          .block_bytes = std::max<std::uint64_t>(1, disk.f_frsize),
          .files = disk.f_files > 0 ? std::optional<std::uint64_t>(disk.f_favail) : std::nullopt};
}

std::optional<std::uint64_t> file_size_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return std::nullopt;
  return limit.rlim_cur;
}

bool path_exists(const fs::path& path) {
  std::error_code error;
  return fs::symlink_status(path, error).type() != fs::file_type::not_found;
}

File File::open(const fs::path& path) {
  // Nothing but a regular file is opened: to open a device can be an act of its own.
  struct stat named {};
  if (::stat(path.c_str(), &named) != 0) fail_to_open(path, errno);
  if (!S_ISREG(named.st_mode)) refuse_input(path, fmt::format("is {}, expected a file", kind_of(named.st_mode)));
  // Should it have become a pipe since, that must not make us wait.
  File file(path);
  file.descriptor_ = uninterrupted([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); });
  if (file.descriptor_ < 0) fail_to_open(path, errno);
  const struct stat status = examine(path, file.descriptor_);
  if (!S_ISREG(status.st_mode)) refuse_input(path, fmt::format("is {}, expected a file", kind_of(status.st_mode)));
  file.opened_ = state_of(status);
  return file;
}

File File::create(const fs::path& path) {
  File file(path);
  file.descriptor_ = uninterrupted([&] { return ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666); });
  if (file.descriptor_ < 0) fail(ErrorKind::output, path, "create", errno);
  return file;
}

File File::open_exclusively(const fs::path& path) {
  constexpr int kFlags = O_RDWR | O_CLOEXEC | O_NONBLOCK;
  File file(path);
  int& descriptor = file.descriptor_;
  descriptor = uninterrupted([&] { return ::open(path.c_str(), kFlags | O_CREAT | O_EXCL, 0666); });
  const bool fresh = descriptor >= 0;
  if (!fresh && errno == EEXIST) descriptor = uninterrupted([&] { return ::open(path.c_str(), kFlags); });
  if (descriptor < 0) fail(ErrorKind::output, path, "open", errno);
  const auto give_up = [&](std::string_view action) {
    const int error = errno;
    if (fresh) ::unlink(path.c_str());
    fail(ErrorKind::output, path, action, error);
  };
  struct stat opened {};
  struct stat named {};
  if (::fstat(descriptor, &opened) != 0) give_up("examine");
  if (!S_ISREG(opened.st_mode)) throw Error(ErrorKind::output, fmt::format("{}: is not a regular file", path.string()));
  const bool locked = ::flock(descriptor, LOCK_EX | LOCK_NB) == 0;
  if (!locked && errno != EWOULDBLOCK) give_up("lock");
  // A run that held the lock may have renamed or removed the file since it was opened.
  const bool there = ::stat(path.c_str(), &named) == 0;
  if (locked && !there && errno != ENOENT) give_up("examine");
  if (!locked || !there || named.st_ino != opened.st_ino)
    throw Error(ErrorKind::output, fmt::format("{}: another run is writing it", path.string()));
  return file;
}

File::File(File&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)), opened_(other.opened_) {}

File::~File() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

std::uint64_t File::size() const {
  return state_of(examine(path_, descriptor_)).size;
}

void File::expect_unchanged() const {
  struct stat named {};
  // Under its name there may be another file by now; what is read through the descriptor is still the old one.
  if (::stat(path_.c_str(), &named) != 0 || state_of(named) != opened_ ||
      state_of(examine(path_, descriptor_)) != opened_)
    refuse_input(path_,
                 "changed while it was read; run again when nothing writes to it, a download or a copy for example");
}

void File::read_at(std::uint64_t offset, std::span<std::byte> into) const {
  read(offset, into, 0);
}

void File::read_once_at(std::uint64_t offset, std::span<std::byte> into) const {
  read(offset, into, kDontCache);
}

void File::read(std::uint64_t offset, std::span<std::byte> into, int flags) const {
  while (!into.empty()) {
    const iovec range{into.data(), into.size()};
    const ssize_t count = ::preadv2(descriptor_, &range, 1, static_cast<off_t>(offset), flags);
    if (count < 0 && errno == EOPNOTSUPP && flags != 0) {
      flags = 0;
      continue;
    }
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail(ErrorKind::bad_input, path_, "read", errno);
    if (count == 0)
      throw Error(
          ErrorKind::bad_input,
          fmt::format(
              "{}: ends at byte {}, expected {} bytes more; the file was cut short or changed while it was read",
              path_.string(), offset, into.size()));
    into = into.subspan(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
  }
}

void File::write_at(std::uint64_t offset, std::span<const std::byte> bytes) const {
  write(offset, bytes, 0);
}

void File::write_once_at(std::uint64_t offset, std::span<const std::byte> bytes) const {
  if (write(offset, bytes, kDontCache) == kDontCache) return;
  // A hint: finish() reports what goes wrong on the way to the disk.
  ::sync_file_range(descriptor_, static_cast<off64_t>(offset), static_cast<off64_t>(bytes.size()),
                    SYNC_FILE_RANGE_WRITE);
}

int File::write(std::uint64_t offset, std::span<const std::byte> bytes, int flags) const {
  while (!bytes.empty()) {
    const iovec range{const_cast<std::byte*>(bytes.data()), bytes.size()};
    const ssize_t count = ::pwritev2(descriptor_, &range, 1, static_cast<off_t>(offset), flags);
    if (count < 0 && errno == EOPNOTSUPP && flags != 0) {
      flags = 0;
      continue;
    }
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0)
      fail(ErrorKind::output, path_, fmt::format("write {} bytes at byte {}", bytes.size(), offset),
           count < 0 ? errno : ENOSPC);
    bytes = bytes.subspan(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
  }
  return flags;
}

void File::resize(std::uint64_t size) const {
  if (uninterrupted([&] { return ::ftruncate(descriptor_, static_cast<off_t>(size)); }) != 0)
    fail(ErrorKind::output, path_, fmt::format("set its size to {} bytes", size), errno);
}

void File::reserve(std::uint64_t size) const {
  resize(size);
  if (size == 0) return;
  // Not posix_fallocate(): where the file system cannot reserve, it would write to every block.
  const int status = uninterrupted([&] { return ::fallocate(descriptor_, 0, 0, static_cast<off_t>(size)); });
  if (status != 0 && errno != EOPNOTSUPP && errno != ENOSYS)
    fail(ErrorKind::output, path_, fmt::format("reserve {} bytes", size), errno);
}

void File::sync() const {
  if (uninterrupted([&] { return ::fsync(descriptor_); }) != 0)
    fail(ErrorKind::output, path_, "flush to the disk", errno);
}

void File::finish() {
  sync();
  // Linux has closed it after EINTR, too.
  if (::close(std::exchange(descriptor_, -1)) != 0 && errno != EINTR) fail(ErrorKind::output, path_, "close", errno);
}

std::string read_text_file(const fs::path& path, std::uint64_t limit) {
  const File file = File::open(path);
  const std::uint64_t size = file.size();
  if (size > limit)
    throw Error(ErrorKind::bad_input,
                fmt::format("{}: is {} bytes long, expected at most {}", path.string(), size, limit));
  std::string text(size, '\0');
  file.read_at(0, std::as_writable_bytes(std::span(text)));
  file.expect_unchanged();  // or what was written behind `size` would be missing
  return text;
}

void refuse_lfs_pointer(const fs::path& path, std::string_view beginning) {
  if (beginning.starts_with("version https://git-lfs."))
    refuse_input(path, "is a pointer of Git LFS, not the file itself; fetch the files with git lfs pull");
}

void write_text_file(const fs::path& path, const std::string& text) {
  File file = File::create(path);
  file.write_at(0, std::as_bytes(std::span(text)));
  file.finish();
}

void replace_text_file(const fs::path& path, const std::string& text) {
  // No other process that runs has this number, so nobody else's file is overwritten.
  const fs::path fresh = fmt::format("{}.{}.partial", path.string(), ::getpid());
  File file = File::create(fresh);
  try {
    file.write_at(0, std::as_bytes(std::span(text)));
    file.finish();
    rename_durably(fresh, path);
  } catch (...) {
    std::error_code ignored;
    fs::remove(fresh, ignored);
    throw;
  }
}

void rename_durably(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0)
    fail(ErrorKind::output, to, fmt::format("rename {} to it", from.string()), errno);
  sync_folder(fs::absolute(to).parent_path());
}

void sync_folder(const fs::path& path) {
  sync_opened(path, O_DIRECTORY, [](int) { return 0; });
}

void set_time_durably(const fs::path& path, std::int64_t seconds) {
  const timespec time{.tv_sec = seconds, .tv_nsec = 0};
  const std::array times = {time, time};
  sync_opened(path, O_NOFOLLOW, [&](int descriptor) { return ::futimens(descriptor, times.data()); });
}

}  // namespace q3vl
