#include "support/faults.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>
#include <unwind.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <stdexcept>
#include <vector>

namespace q3vl::faults {
namespace {

constexpr std::size_t kDescriptors = 1024;

// Nothing here may allocate while it is armed: operator new comes here, too.
std::atomic<bool> armed = false;
Plan plan;
Record* record = nullptr;
std::array<char, 512> root{};
std::array<std::atomic<bool>, kDescriptors> watched{};
std::array<std::array<char, 120>, kDescriptors> names{};

/// The path below the root; null for any other.
const char* below_root(const char* path) {
  const std::size_t length = std::strlen(root.data());
  return path != nullptr && std::strncmp(path, root.data(), length) == 0 ? path + length : nullptr;
}

bool is_watched(int descriptor) {
  return descriptor >= 0 && static_cast<std::size_t>(descriptor) < kDescriptors &&
         watched[static_cast<std::size_t>(descriptor)];
}

void copy_name(std::array<char, 120>& to, const char* from) {
  std::snprintf(to.data(), to.size(), "%s", from);
}

void watch(int descriptor, const char* name) {
  if (descriptor < 0 || static_cast<std::size_t>(descriptor) >= kDescriptors) return;
  copy_name(names[static_cast<std::size_t>(descriptor)], name);
  watched[static_cast<std::size_t>(descriptor)] = true;
}

void trace(Call call, const char* name) {
  const std::size_t place = record->traced++;
  if (place >= record->trace.size()) return;
  record->trace[place].call = call;
  copy_name(record->trace[place].path, name);
}

/// That signals cut short, where a slow disk or a network is behind it.
bool may_be_interrupted(Call call) {
  return call == Call::open_to_write || call == Call::read || call == Call::write || call == Call::reserve ||
         call == Call::sync;
}

/// Counts the call. True when it is the one to fail, with errno set.
bool strikes(Call call, const char* name) {
  if (!armed || name == nullptr) return false;
  const std::uint64_t number = record->calls[static_cast<std::size_t>(call)]++;
  trace(call, name);
  if (plan.action == Plan::Action::shorten && may_be_interrupted(call) && number % 2 == 0) {
    errno = EINTR;
    return true;
  }
  if (call != plan.call || number != plan.nth) return false;
  if (plan.action == Plan::Action::signal) {
    record->fired = true;
    for (int i = 0; i < plan.times; ++i) std::raise(plan.signal);
  }
  if (plan.action != Plan::Action::fail) return false;
  record->fired = true;
  errno = plan.error;
  return true;
}

bool strikes(Call call, int descriptor) {
  return is_watched(descriptor) && strikes(call, names[static_cast<std::size_t>(descriptor)].data());
}

/// The range as `shorten` leaves it.
iovec shortened(const iovec& range) {
  return plan.action == Plan::Action::shorten && range.iov_len > 1 ? iovec{range.iov_base, range.iov_len / 2} : range;
}

/// The function of the same name behind this program's own.
template <typename Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

/// A path for a call relative to a folder that is open: only that it is below the root matters, and its last part.
const char* place_of(int folder, const char* path) {
  if (path != nullptr && path[0] == '/') return below_root(path);
  return is_watched(folder) ? path : nullptr;
}

Call opening(int flags) {
  return (flags & (O_WRONLY | O_RDWR)) != 0 ? Call::open_to_write : Call::open_to_read;
}

struct Range {
  std::uintptr_t begin;
  std::uintptr_t end;

  bool has(const void* address) const {
    const auto at = reinterpret_cast<std::uintptr_t>(address);
    return at >= begin && at < end;
  }
};

// Code of ours, and of libraries that allocate on behalf of whoever calls them.
std::vector<Range> own_code;
std::vector<Range> passing_code;

int add_ranges(dl_phdr_info* info, std::size_t, void*) {
  const std::string_view name = info->dlpi_name;
  std::vector<Range>* ranges = nullptr;
  if (name.empty() || name.find("qwen3vl-export-c10.so") != name.npos) ranges = &own_code;
  for (const char* library : {"libstdc++.so", "libfmt.so", "libspdlog.so"})
    if (name.find(library) != name.npos) ranges = &passing_code;
  if (ranges == nullptr) return 0;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& part = info->dlpi_phdr[i];
    if (part.p_type != PT_LOAD || (part.p_flags & PF_X) == 0) continue;
    const auto begin = static_cast<std::uintptr_t>(info->dlpi_addr + part.p_vaddr);
    ranges->push_back({begin, begin + part.p_memsz});
  }
  return 0;
}

bool in(const std::vector<Range>& ranges, const void* address) {
  return std::ranges::any_of(ranges, [&](const Range& range) { return range.has(address); });
}

struct Walk {
  const void* from;  // frames before this return address are operator new's own
  bool begun = false;
  std::size_t depth = 0;                      // frames of our own code so far
  bool theirs = false;                        // another library asked on its own behalf
  std::uint64_t hash = 1469598103934665603U;  // FNV-1a
};

_Unwind_Reason_Code step(_Unwind_Context* context, void* argument) {
  auto& walk = *static_cast<Walk*>(argument);
  const void* const address = reinterpret_cast<const void*>(_Unwind_GetIP(context));
  walk.begun = walk.begun || address == walk.from;
  if (!walk.begun || in(passing_code, address)) return _URC_NO_REASON;
  if (!in(own_code, address)) {
    walk.theirs = walk.depth == 0;
    return _URC_END_OF_STACK;
  }
  walk.hash = (walk.hash ^ reinterpret_cast<std::uintptr_t>(address)) * 1099511628211U;
  return ++walk.depth == kSiteDepth ? _URC_END_OF_STACK : _URC_NO_REASON;
}

/// The calls that lead to operator new, which `caller` called; 0 when it was not for our own code.
std::uint64_t calls_to(const void* caller) {
  if (!in(own_code, caller) && !in(passing_code, caller)) return 0;
  Walk walk{.from = caller};
  _Unwind_Backtrace(step, &walk);
  return walk.theirs || walk.depth == 0 ? 0 : walk.hash;
}

void list_site(std::uint64_t calls, const void* caller) {
  for (std::size_t i = 0; i < record->sites.size(); ++i) {
    const std::size_t place = (calls + i) % record->sites.size();
    std::uint64_t there = 0;
    if (record->sites[place].compare_exchange_strong(there, calls)) {
      record->callers_of_sites[place] = caller;
      return;
    }
    if (there == calls) return;
  }
}

struct Stack {
  std::size_t depth = 0;
};

_Unwind_Reason_Code note(_Unwind_Context* context, void* argument) {
  auto& stack = *static_cast<Stack*>(argument);
  if (stack.depth == record->stack.size()) return _URC_END_OF_STACK;
  record->stack[stack.depth++] = reinterpret_cast<void*>(_Unwind_GetIP(context));
  return _URC_NO_REASON;
}

/// True when this allocation is the one to refuse.
bool refuses(const void* caller) {
  if (!armed) return false;
  if (plan.action == Plan::Action::list_sites) {
    const std::uint64_t calls = calls_to(caller);
    if (calls == 0) return false;
    ++record->allocations;
    list_site(calls, caller);
    return false;
  }
  if (plan.action != Plan::Action::refuse_memory || caller != plan.site.caller || record->fired) return false;
  if (calls_to(caller) != plan.site.calls || record->fired.exchange(true)) return false;
  Stack stack;
  _Unwind_Backtrace(note, &stack);
  return true;
}

}  // namespace

std::string_view name_of(Call call) {
  constexpr std::array<std::string_view, kCalls> kNames = {
      "open to read", "open to write", "read", "write", "reserve", "fsync",   "close",   "mkdir",
      "rename",       "remove",        "lock", "list",  "examine", "statvfs", "set time"};
  return kNames[static_cast<std::size_t>(call)];
}

std::vector<Site> sites_of(const Record& record) {
  std::vector<Site> sites;
  for (std::size_t i = 0; i < record.sites.size(); ++i)
    if (record.sites[i] != 0) sites.push_back({record.sites[i], record.callers_of_sites[i]});
  if (sites.size() > record.sites.size() / 2) throw std::runtime_error("more sites than can be told apart quickly");
  return sites;
}

Record& shared_record() {
  void* const memory = ::mmap(nullptr, sizeof(Record), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::runtime_error("no memory to share");
  return *new (memory) Record{};
}

void arm(const std::string& folder, const Plan& what, Record& into) {
  std::snprintf(root.data(), root.size(), "%s", folder.c_str());
  plan = what;
  record = &into;
  own_code.clear();
  passing_code.clear();
  dl_iterate_phdr(add_ranges, nullptr);
  armed = true;
}

void disarm() {
  armed = false;
}

}  // namespace q3vl::faults

using namespace q3vl::faults;  // NOLINT: the functions below belong to no namespace

extern "C" {

int open(const char* path, int flags, ...) {
  std::va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = va_arg(arguments, mode_t);
  va_end(arguments);
  static const auto real = next<int(const char*, int, ...)>("open");
  const char* const name = below_root(path);
  if (strikes(opening(flags), name)) return -1;
  const int descriptor = real(path, flags, mode);
  if (armed && name != nullptr) watch(descriptor, name);
  return descriptor;
}

int openat(int folder, const char* path, int flags, ...) {
  std::va_list arguments;
  va_start(arguments, flags);
  const mode_t mode = va_arg(arguments, mode_t);
  va_end(arguments);
  static const auto real = next<int(int, const char*, int, ...)>("openat");
  const char* const name = place_of(folder, path);
  if (strikes(opening(flags), name)) return -1;
  const int descriptor = real(folder, path, flags, mode);
  if (armed && name != nullptr) watch(descriptor, name);
  return descriptor;
}

FILE* fopen64(const char* path, const char* mode) {
  static const auto real = next<FILE*(const char*, const char*)>("fopen64");
  const char* const name = below_root(path);
  if (strikes(mode[0] == 'r' ? Call::open_to_read : Call::open_to_write, name)) return nullptr;
  FILE* const file = real(path, mode);
  if (armed && name != nullptr && file != nullptr) watch(::fileno(file), name);
  return file;
}

int close(int descriptor) {
  static const auto real = next<int(int)>("close");
  const bool fails = strikes(Call::close, descriptor);
  const int reason = errno;
  if (is_watched(descriptor)) watched[static_cast<std::size_t>(descriptor)] = false;
  const int status = real(descriptor);  // a close that fails closes all the same
  if (fails) errno = reason;
  return fails ? -1 : status;
}

ssize_t read(int descriptor, void* into, std::size_t bytes) {
  static const auto real = next<ssize_t(int, void*, std::size_t)>("read");
  if (strikes(Call::read, descriptor)) return -1;
  return real(descriptor, into, bytes);
}

ssize_t preadv2(int descriptor, const iovec* ranges, int count, off_t offset, int flags) {
  static const auto real = next<ssize_t(int, const iovec*, int, off_t, int)>("preadv2");
  if (!is_watched(descriptor)) return real(descriptor, ranges, count, offset, flags);
  if (strikes(Call::read, descriptor)) return -1;
  const iovec range = shortened(*ranges);
  return real(descriptor, &range, 1, offset, flags);
}

ssize_t write(int descriptor, const void* from, std::size_t bytes) {
  static const auto real = next<ssize_t(int, const void*, std::size_t)>("write");
  if (strikes(Call::write, descriptor)) return -1;
  return real(descriptor, from, bytes);
}

ssize_t pwritev2(int descriptor, const iovec* ranges, int count, off_t offset, int flags) {
  static const auto real = next<ssize_t(int, const iovec*, int, off_t, int)>("pwritev2");
  if (!is_watched(descriptor)) return real(descriptor, ranges, count, offset, flags);
  if (strikes(Call::write, descriptor)) return -1;
  const iovec range = shortened(*ranges);
  return real(descriptor, &range, 1, offset, flags);
}

int ftruncate(int descriptor, off_t size) noexcept {
  static const auto real = next<int(int, off_t)>("ftruncate");
  return strikes(Call::reserve, descriptor) ? -1 : real(descriptor, size);
}

int fallocate(int descriptor, int mode, off_t offset, off_t size) {
  static const auto real = next<int(int, int, off_t, off_t)>("fallocate");
  return strikes(Call::reserve, descriptor) ? -1 : real(descriptor, mode, offset, size);
}

int fsync(int descriptor) {
  static const auto real = next<int(int)>("fsync");
  return strikes(Call::sync, descriptor) ? -1 : real(descriptor);
}

int futimens(int descriptor, const timespec* times) noexcept {
  static const auto real = next<int(int, const timespec*)>("futimens");
  return strikes(Call::set_time, descriptor) ? -1 : real(descriptor, times);
}

int flock(int descriptor, int operation) noexcept {
  static const auto real = next<int(int, int)>("flock");
  return strikes(Call::lock, descriptor) ? -1 : real(descriptor, operation);
}

int mkdir(const char* path, mode_t mode) noexcept {
  static const auto real = next<int(const char*, mode_t)>("mkdir");
  return strikes(Call::make_folder, below_root(path)) ? -1 : real(path, mode);
}

int rename(const char* from, const char* to) noexcept {
  static const auto real = next<int(const char*, const char*)>("rename");
  return strikes(Call::rename, below_root(from)) ? -1 : real(from, to);
}

int renameat2(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) noexcept {
  static const auto real = next<int(int, const char*, int, const char*, unsigned)>("renameat2");
  return strikes(Call::rename, place_of(from_folder, from)) ? -1 : real(from_folder, from, to_folder, to, flags);
}

int unlink(const char* path) noexcept {
  static const auto real = next<int(const char*)>("unlink");
  return strikes(Call::remove, below_root(path)) ? -1 : real(path);
}

int unlinkat(int folder, const char* path, int flags) noexcept {
  static const auto real = next<int(int, const char*, int)>("unlinkat");
  return strikes(Call::remove, place_of(folder, path)) ? -1 : real(folder, path, flags);
}

int rmdir(const char* path) noexcept {
  static const auto real = next<int(const char*)>("rmdir");
  return strikes(Call::remove, below_root(path)) ? -1 : real(path);
}

int remove(const char* path) noexcept {
  static const auto real = next<int(const char*)>("remove");
  return strikes(Call::remove, below_root(path)) ? -1 : real(path);
}

DIR* opendir(const char* path) {
  static const auto real = next<DIR*(const char*)>("opendir");
  const char* const name = below_root(path);
  if (strikes(Call::list, name)) return nullptr;
  DIR* const stream = real(path);
  if (armed && name != nullptr && stream != nullptr) watch(::dirfd(stream), name);
  return stream;
}

DIR* fdopendir(int descriptor) {
  static const auto real = next<DIR*(int)>("fdopendir");
  return strikes(Call::list, descriptor) ? nullptr : real(descriptor);
}

dirent* readdir(DIR* stream) {
  static const auto real = next<dirent*(DIR*)>("readdir");
  return strikes(Call::list, ::dirfd(stream)) ? nullptr : real(stream);
}

int closedir(DIR* stream) {
  static const auto real = next<int(DIR*)>("closedir");
  if (const int descriptor = ::dirfd(stream); is_watched(descriptor))
    watched[static_cast<std::size_t>(descriptor)] = false;
  return real(stream);
}

int stat(const char* path, struct stat* status) noexcept {
  static const auto real = next<int(const char*, struct stat*)>("stat");
  return strikes(Call::examine, below_root(path)) ? -1 : real(path, status);
}

int lstat(const char* path, struct stat* status) noexcept {
  static const auto real = next<int(const char*, struct stat*)>("lstat");
  return strikes(Call::examine, below_root(path)) ? -1 : real(path, status);
}

int fstat(int descriptor, struct stat* status) noexcept {
  static const auto real = next<int(int, struct stat*)>("fstat");
  return strikes(Call::examine, descriptor) ? -1 : real(descriptor, status);
}

int statx(int folder, const char* path, int flags, unsigned mask, struct statx* status) noexcept {
  static const auto real = next<int(int, const char*, int, unsigned, struct statx*)>("statx");
  return strikes(Call::examine, place_of(folder, path)) ? -1 : real(folder, path, flags, mask, status);
}

int statvfs(const char* path, struct statvfs* status) noexcept {
  static const auto real = next<int(const char*, struct statvfs*)>("statvfs");
  return strikes(Call::measure, below_root(path)) ? -1 : real(path, status);
}

}  // extern "C"

namespace {

void* allocate(std::size_t bytes, std::size_t alignment, const void* caller) noexcept {
  if (refuses(caller)) return nullptr;
  const std::size_t size = std::max<std::size_t>(bytes, 1);
  return alignment <= alignof(std::max_align_t)
             ? std::malloc(size)
             : std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
}

void* allocate_or_throw(std::size_t bytes, std::size_t alignment, const void* caller) {
  void* const memory = allocate(bytes, alignment, caller);
  if (memory != nullptr) return memory;
  // The C++ library's own operator new calls the handler until it throws or finds memory.
  if (const std::new_handler handler = std::get_new_handler()) handler();
  throw std::bad_alloc();
}

}  // namespace

#define Q3VL_CALLER __builtin_return_address(0)

void* operator new(std::size_t bytes) {
  return allocate_or_throw(bytes, 1, Q3VL_CALLER);
}
void* operator new[](std::size_t bytes) {
  return allocate_or_throw(bytes, 1, Q3VL_CALLER);
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return allocate_or_throw(bytes, static_cast<std::size_t>(alignment), Q3VL_CALLER);
}
void* operator new[](std::size_t bytes, std::align_val_t alignment) {
  return allocate_or_throw(bytes, static_cast<std::size_t>(alignment), Q3VL_CALLER);
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return allocate(bytes, 1, Q3VL_CALLER);
}
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept {
  return allocate(bytes, 1, Q3VL_CALLER);
}
void* operator new(std::size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return allocate(bytes, static_cast<std::size_t>(alignment), Q3VL_CALLER);
}
void* operator new[](std::size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return allocate(bytes, static_cast<std::size_t>(alignment), Q3VL_CALLER);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete[](void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}
