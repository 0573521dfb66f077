#include "base/companion_file.h"

#include <dlfcn.h>
#include <link.h>

namespace q3vl {
namespace {

namespace fs = std::filesystem;

void anchor() {}

}  // namespace

fs::path this_file() {
  Dl_info ignored;
  void* found = nullptr;
  const int known = dladdr1(reinterpret_cast<const void*>(&anchor), &ignored, &found, RTLD_DL_LINKMAP);
  // The loader does not name the program itself.
  if (known == 0 || *static_cast<const link_map*>(found)->l_name == '\0') return fs::read_symlink("/proc/self/exe");
  return fs::canonical(static_cast<const link_map*>(found)->l_name);
}

fs::path companion_file(const std::string& name) {
  const fs::path folder = this_file().parent_path();
  for (const fs::path& path : {folder / name, folder / "qwen3vl-export" / name})
    if (fs::exists(path)) return fs::canonical(path);
  return {};
}

}  // namespace q3vl
