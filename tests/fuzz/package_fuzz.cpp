// A package as `inspect` and the clients of src/runtime/ read it. The first byte of an input says which file the rest
// of it is; the other files are those of a small sound package, which lies in the corpus itself: the inputs called
// sound_*. A model is also looked into as `verify` and `bench` do: compared, probed, its matrices taken out.
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>

#include "fuzz.h"
#include "onnx/lone_matrices.h"
#include "onnx/model_differences.h"
#include "onnx/model_probe.h"
#include "qwen3vl_export/inspect.h"
#include "runtime/package_config.h"

namespace {

namespace fs = std::filesystem;
using q3vl::fuzz::accepts;

const std::map<char, std::string> kFiles = {
    {'m', "manifest.json"},         {'g', "genai_config.json"}, {'v', "vision_processor.json"}, {'t', "tokenizer.json"},
    {'c', "tokenizer_config.json"}, {'D', "model.onnx"},        {'E', "embedding.onnx"},        {'V', "vision.onnx"}};

void write(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

/// The folder that the inputs' files are written to, with all that each leaves as it is.
class Package {
 public:
  Package() {
    std::string name = (fs::temp_directory_path() / "q3vl_fuzz_XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) q3vl::fuzz::report("cannot create " + name);
    folder_ = name;
    for (const fs::directory_entry& entry : fs::directory_iterator(Q3VL_FUZZ_PACKAGE)) {
      if (!entry.path().filename().string().starts_with("sound_")) continue;
      std::ifstream file(entry.path(), std::ios::binary);
      const std::string input{std::istreambuf_iterator<char>(file), {}};
      sound_[kFiles.at(input.at(0))] = input.substr(1);
    }
    for (const auto& [file, bytes] : sound_) write(folder_ / file, bytes);
    for (const char* file : {"model.onnx.data", "embedding.onnx.data", "vision.onnx.data"}) {
      write(folder_ / file, "");
      fs::resize_file(folder_ / file, 1 << 21);
    }
    for (const q3vl::Finding& finding : q3vl::inspect_package(folder_).findings)
      q3vl::fuzz::report("the package of the corpus is not sound: " + finding.message);
  }
  Package(const Package&) = delete;
  Package& operator=(const Package&) = delete;
  ~Package() { fs::remove_all(folder_); }

  const fs::path& folder() const { return folder_; }
  const std::string& sound(const std::string& file) const { return sound_.at(file); }

 private:
  fs::path folder_;
  std::map<std::string, std::string> sound_;
};

void look_into_model(const fs::path& model, const std::string& sound) {
  accepts([&] { q3vl::model_differences(model, sound); });
  accepts([&] { q3vl::lone_matrices(model); });
  accepts([&] {
    q3vl::probe_model(model, {.activations = q3vl::Activations::floats, .pick_prefix = "lm_head", .taps = {}});
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Package package;
  if (size == 0) return -1;
  const auto named = kFiles.find(static_cast<char>(data[0]));
  if (named == kFiles.end()) return -1;  // not kept in the corpus
  const std::string& file = named->second;
  write(package.folder() / file, q3vl::fuzz::text(data + 1, size - 1));
  accepts([&] { q3vl::inspect_package(package.folder()); });
  accepts([&] { q3vl::read_package_config(package.folder()); });
  if (file.ends_with(".onnx")) look_into_model(package.folder() / file, package.sound(file));
  write(package.folder() / file, package.sound(file));
  return 0;
}
