#include "page_cache.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "base/file.h"
#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kReadBytes = 8U << 20;

[[noreturn]] void fail(const fs::path& path, std::string_view action, int error) {
  throw Error(ErrorKind::bad_input,
              fmt::format("{}: cannot {}: {}", path.string(), action, std::generic_category().message(error)));
}

/// A file opened for its descriptor, which base/file.h keeps to itself.
class Descriptor {
 public:
  explicit Descriptor(const fs::path& path) : value_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (value_ < 0) fail(path, "open", errno);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { ::close(value_); }

  int get() const { return value_; }

 private:
  int value_;
};

/// Pages of a file: those in the page cache, and all.
struct Pages {
  std::size_t held = 0;
  std::size_t all = 0;
};

Pages pages_of(const fs::path& path) {
  const Descriptor file(path);
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) fail(path, "examine", errno);
  const auto size = static_cast<std::size_t>(status.st_size);
  if (size == 0) return {};
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  void* mapped = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file.get(), 0);
  if (mapped == MAP_FAILED) fail(path, "map", errno);
  std::vector<unsigned char> held((size + page - 1) / page);
  const int result = ::mincore(mapped, size, held.data());
  const int error = errno;
  ::munmap(mapped, size);
  if (result != 0) fail(path, "look up in the page cache", error);
  return {static_cast<std::size_t>(std::ranges::count_if(held, [](unsigned char flags) { return (flags & 1U) != 0; })),
          held.size()};
}

}  // namespace

void warm_page_cache(const Files& files) {
  std::vector<std::byte> block(kReadBytes);
  for (const fs::path& path : files) {
    const File file = File::open(path);
    const std::uint64_t size = file.size();
    for (std::uint64_t offset = 0; offset < size; offset += kReadBytes)
      file.read_at(offset, std::span(block).first(std::min<std::uint64_t>(kReadBytes, size - offset)));
  }
}

void drop_from_page_cache(const Files& files) {
  for (const fs::path& path : files) {
    const Descriptor file(path);
    if (::fsync(file.get()) != 0)
      fail(path, "flush to the disk", errno);  // pages that are not written cannot be dropped
    if (const int error = ::posix_fadvise(file.get(), 0, 0, POSIX_FADV_DONTNEED); error != 0)
      fail(path, "drop from the page cache", error);
  }
}

double page_cache_share(const Files& files) {
  Pages sum;
  for (const fs::path& path : files) {
    const Pages pages = pages_of(path);
    sum.held += pages.held;
    sum.all += pages.all;
  }
  return sum.all == 0 ? 1 : static_cast<double>(sum.held) / static_cast<double>(sum.all);
}

}  // namespace q3vl
