#include "backend/tensor_backend.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <filesystem>

#include "base/companion_file.h"
#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

constexpr const char* kLibrary = "qwen3vl-export-torch.so";

const TensorBackend& open_backend() {
  const std::filesystem::path library = companion_file(kLibrary);
  if (library.empty())
    throw Error(ErrorKind::internal,
                fmt::format("{}: cannot be opened: it is neither beside {} nor in the folder qwen3vl-export there",
                            kLibrary, this_file().string()));
  // It takes from this code what it shares with it, which a plugin's loader may have kept to the plugin. In a program
  // that has this code inside there is no library to find, nor a need.
  dlopen(this_file().c_str(), RTLD_NOW | RTLD_GLOBAL | RTLD_NOLOAD);
  // Never closed: LibTorch has threads and globals that outlive any use of it.
  void* handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  void* entry = handle == nullptr ? nullptr : dlsym(handle, kTensorBackendEntry);
  if (entry == nullptr) {
    const char* reason = dlerror();  // NOLINT(concurrency-mt-unsafe): called once, under the static's lock
    throw Error(ErrorKind::internal,
                fmt::format("{}: cannot be opened: {}; it needs Debian's libtorch", library.string(), reason));
  }
  using Entry = const TensorBackend* (*)();
  return *reinterpret_cast<Entry>(entry)();
}

}  // namespace

const TensorBackend& tensor_backend() {
  static const TensorBackend& backend = open_backend();
  return backend;
}

}  // namespace q3vl
