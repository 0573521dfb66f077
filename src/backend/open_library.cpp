#include "backend/open_library.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <sys/resource.h>

#include <filesystem>
#include <string_view>

#include "base/companion_file.h"
#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

/// What to do about the loader's `reason`. Where there is no room for a library, the loader does not say that it is the
/// process's limit that forbids it.
std::string advice(std::string_view reason) {
  const auto says = [&](std::string_view words) { return reason.find(words) != std::string_view::npos; };
  if (says("No such file")) return "; it needs Debian's libtorch";
  rlimit limit{};
  const bool limited = ::getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
  if (!limited || !(says("failed to map segment") || says("annot allocate") || says("cannot map"))) return "";
  return fmt::format("; the limit on the address space is {} bytes here, raise it (ulimit -v)", limit.rlim_cur);
}

}  // namespace

void* open_library(const std::string& name, const char* entry) {
  const std::filesystem::path library = companion_file(name);
  if (library.empty())
    throw Error(ErrorKind::internal,
                fmt::format("{}: cannot be opened: it is neither beside {} nor in the folder qwen3vl-export there",
                            name, this_file().string()));
  // It takes from this code what it shares with it, which a plugin's loader may have kept to the plugin. In a program
  // that has this code inside there is no library to find, nor a need.
  dlopen(this_file().c_str(), RTLD_NOW | RTLD_GLOBAL | RTLD_NOLOAD);
  void* handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  void* function = handle == nullptr ? nullptr : dlsym(handle, entry);
  if (function == nullptr) {
    const char* reason = dlerror();  // NOLINT(concurrency-mt-unsafe): called once, under the lock of a static
    throw Error(ErrorKind::internal,
                fmt::format("{}: cannot be opened: {}{}", library.string(), reason, advice(reason)));
  }
  return function;
}

}  // namespace q3vl
