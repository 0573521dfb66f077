#include "base/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

namespace fs = std::filesystem;

// RWF_DONTCACHE of Linux 6.14, which glibc does not name yet. Older systems answer EOPNOTSUPP.
constexpr int kDontCache = 0x80;

std::string reason(int error) {
  return std::generic_category().message(error);
}

[[noreturn]] void fail(ErrorKind kind, const fs::path& path, std::string_view action, int error) {
  throw Error(kind, fmt::format("{}: cannot {}: {}", path.string(), action, reason(error)));
}

}  // namespace

File File::open(const fs::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe must not make us wait
  if (descriptor < 0) fail(ErrorKind::bad_input, path, "open", errno);
  File file(path, descriptor);
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) fail(ErrorKind::bad_input, path, "examine", errno);
  if (!S_ISREG(status.st_mode))
    throw Error(ErrorKind::bad_input, fmt::format("{}: is not a regular file", path.string()));
  return file;
}

File File::create(const fs::path& path) {
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor < 0) fail(ErrorKind::output, path, "create", errno);
  return {path, descriptor};
}

File File::open_exclusively(const fs::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666);
  if (descriptor < 0) fail(ErrorKind::output, path, "open", errno);
  File file(path, descriptor);
  struct stat opened {};
  struct stat named {};
  if (::fstat(descriptor, &opened) != 0) fail(ErrorKind::output, path, "examine", errno);
  if (!S_ISREG(opened.st_mode)) throw Error(ErrorKind::output, fmt::format("{}: is not a regular file", path.string()));
  const bool locked = ::flock(descriptor, LOCK_EX | LOCK_NB) == 0;
  if (!locked && errno != EWOULDBLOCK) fail(ErrorKind::output, path, "lock", errno);
  // A run that held the lock may have renamed or removed the file since it was opened.
  if (!locked || ::stat(path.c_str(), &named) != 0 || named.st_ino != opened.st_ino)
    throw Error(ErrorKind::output, fmt::format("{}: another run is writing it", path.string()));
  return file;
}

File::File(File&& other) noexcept : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

File::~File() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

std::uint64_t File::size() const {
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0) fail(ErrorKind::bad_input, path_, "examine", errno);
  return static_cast<std::uint64_t>(status.st_size);
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
    if (count < 0) fail(ErrorKind::output, path_, fmt::format("write {} bytes", bytes.size()), errno);
    bytes = bytes.subspan(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
  }
  return flags;
}

void File::resize(std::uint64_t size) const {
  if (::ftruncate(descriptor_, static_cast<off_t>(size)) != 0)
    fail(ErrorKind::output, path_, fmt::format("set its size to {} bytes", size), errno);
}

void File::reserve(std::uint64_t size) const {
  resize(size);
  if (size == 0) return;
  // Not posix_fallocate(): where the file system cannot reserve, it would write to every block.
  int status = 0;
  do status = ::fallocate(descriptor_, 0, 0, static_cast<off_t>(size));
  while (status != 0 && errno == EINTR);
  if (status != 0 && errno != EOPNOTSUPP && errno != ENOSYS)
    fail(ErrorKind::output, path_, fmt::format("reserve {} bytes", size), errno);
}

void File::sync() const {
  if (::fsync(descriptor_) != 0) fail(ErrorKind::output, path_, "flush to the disk", errno);
}

void File::finish() {
  sync();
  if (::close(std::exchange(descriptor_, -1)) != 0) fail(ErrorKind::output, path_, "close", errno);
}

std::string read_text_file(const fs::path& path, std::uint64_t limit) {
  const File file = File::open(path);
  const std::uint64_t size = file.size();
  if (size > limit)
    throw Error(ErrorKind::bad_input,
                fmt::format("{}: is {} bytes long, expected at most {}", path.string(), size, limit));
  std::string text(size, '\0');
  file.read_at(0, std::as_writable_bytes(std::span(text)));
  return text;
}

void write_text_file(const fs::path& path, const std::string& text) {
  File file = File::create(path);
  file.write_at(0, std::as_bytes(std::span(text)));
  file.finish();
}

void sync_folder(const fs::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) fail(ErrorKind::output, path, "open", errno);
  const int status = ::fsync(descriptor);
  const int error = errno;
  ::close(descriptor);
  if (status != 0) fail(ErrorKind::output, path, "flush to the disk", error);
}

}  // namespace q3vl
