#include "backend/tensor_backend.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <filesystem>

#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

const TensorBackend& open_backend() {
  const auto library = std::filesystem::read_symlink("/proc/self/exe").parent_path() / "qwen3vl-export-torch.so";
  // Never closed: LibTorch has threads and globals that outlive any use of it.
  void* handle = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  void* entry = handle == nullptr ? nullptr : dlsym(handle, kTensorBackendEntry);
  if (entry == nullptr) {
    const char* reason = dlerror();  // NOLINT(concurrency-mt-unsafe): called once, under the static's lock
    throw Error(ErrorKind::internal,
                fmt::format("{}: cannot be opened: {}; it belongs beside the program and needs Debian's libtorch",
                            library.string(), reason));
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
