// Calls of the operating system and of operator new that fail when they are told to. A test program that links
// faults.cpp has its own open(), write(), rename() ... in place of the C library's, for itself and for the libraries it
// loads; they pass everything on, and look only at files below one folder.
#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace q3vl::faults {

/// Calls by what they are for; each counts several functions.
enum class Call {
  open_to_read,
  open_to_write,
  read,
  write,
  reserve,      // ftruncate, fallocate
  sync,         // fsync
  close,        // of a descriptor
  make_folder,  // mkdir
  rename,       // rename, renameat2
  remove,       // unlink, unlinkat, rmdir, remove
  lock,         // flock
  list,         // opendir, fdopendir, readdir
  examine,      // stat, lstat, fstat, statx
  measure,      // statvfs
  set_time,     // futimens
  count
};
inline constexpr std::size_t kCalls = static_cast<std::size_t>(Call::count);

std::string_view name_of(Call call);

/// A place in our own code that asks for memory: the innermost calls that lead to operator new, libraries between them
/// left out. It depends on what was compiled, and neither on the machine nor on how threads take turns.
struct Site {
  std::uint64_t calls = 0;       ///< a hash of kSiteDepth return addresses
  const void* caller = nullptr;  ///< of operator new
};
inline constexpr std::size_t kSiteDepth = 3;

/// What happens at the n-th call of a kind, or at the first allocation of a site.
struct Plan {
  enum class Action { nothing, fail, signal, shorten, list_sites, refuse_memory };
  Action action = Action::nothing;
  Call call = Call::count;
  std::uint64_t nth = 0;  ///< counted from 0
  Site site = {};         ///< of `refuse_memory`
  int error = 0;          ///< of `fail`: errno
  int signal = 0;         ///< of `signal`: raised before the call, which is made if the process lives on
  int times = 1;          ///< how often it is raised
  /// `shorten`: every read and write does half of what it could, and every second call that may be interrupted is.
};

/// One call, as it was made.
struct Traced {
  Call call;
  std::array<char, 120> path;  ///< below the folder, as much of it as fits
};

/// What a run did; in memory that parent and child share.
struct Record {
  std::array<std::atomic<std::uint64_t>, kCalls> calls;
  std::atomic<std::uint64_t> allocations;  ///< that our own code asked for, where sites are listed
  std::atomic<bool> fired;
  std::array<std::atomic<void*>, 16> stack;                        ///< of the allocation that was refused
  std::array<std::atomic<std::uint64_t>, 1 << 15> sites;           ///< a hash table: `calls` of each, 0 where is none
  std::array<std::atomic<const void*>, 1 << 15> callers_of_sites;  ///< in the same places
  std::atomic<std::size_t> traced;
  std::array<Traced, 4096> trace;
};

/// The sites of a run that listed them. Throws std::runtime_error if there were too many.
std::vector<Site> sites_of(const Record& record);

/// Memory that processes forked from now on share with this one, all zero.
Record& shared_record();

/// From now on calls for files below `folder`, an absolute path, and allocations are counted, and one is made to fail.
void arm(const std::string& folder, const Plan& plan, Record& record);
void disarm();

}  // namespace q3vl::faults
