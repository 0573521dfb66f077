#include "package/genai/contract.h"

#include <cstdint>
#include <optional>
#include <utility>

#include "base/file.h"
#include "base/json.h"
#include "contract/file_names.h"
#include "package/findings.h"
#include "package/genai/config_keys.h"
#include "package/genai/genai_config.h"
#include "package/genai/graph_contract.h"
#include "package/genai/vision_processor_contract.h"
#include "package/graph_reader.h"
#include "package/tokenizer_contract.h"
#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

namespace fs = std::filesystem;

class PackageChecker {
 public:
  explicit PackageChecker(fs::path package) : package_(std::move(package)) {}

  std::vector<std::string> check() {
    const std::optional<Json> config = read_json(kGenaiConfigFile);
    if (config && check_genai_config_keys(*config, findings_)) check_package((*config)["model"], (*config)["search"]);
    return findings_.list();
  }

 private:
  void check_package(const Json& model, const Json& search) {
    check_search(model, search);
    const bool multimodal = model.contains("vision");
    std::optional<PatchSizes> sizes;
    if (multimodal) sizes = check_transforms(model);
    const std::optional<GraphFile> decoder = read_graph(model, "decoder");
    const std::optional<GraphFile> embedding = multimodal ? read_graph(model, "embedding") : std::nullopt;
    const std::optional<GraphFile> vision = multimodal ? read_graph(model, "vision") : std::nullopt;
    if (decoder && (!multimodal || (embedding && vision)))
      check_genai_graphs(model, {*decoder, embedding, vision}, sizes, findings_);
    check_tokenizer_files(model);
  }

  void check_search(const Json& model, const Json& search) {
    const auto context_length = model["context_length"].get<std::int64_t>();
    const auto max_length = search["max_length"].get<std::int64_t>();
    if (context_length < 1)
      add(fmt::format("model.context_length is {}, expected 1 or more", context_length));
    else if (max_length < 1 || max_length > context_length)
      add(fmt::format("search.max_length is {}, expected 1 to model.context_length = {}", max_length, context_length));
    if (search.contains("num_beams") && search["num_beams"] != 1)
      add(fmt::format("search.num_beams is {}, expected 1: no more run with an image", search["num_beams"].dump()));
  }

  /// Reads the image transforms; their sizes, when they are sound.
  std::optional<PatchSizes> check_transforms(const Json& model) {
    const Json& vision = model["vision"];
    const std::string file = vision["config_filename"].get<std::string>();
    if (!check_path("model.vision.config_filename", file)) return std::nullopt;
    const std::optional<Json> document = read_json(file);
    if (!document) return std::nullopt;
    const std::size_t before = findings_.size();
    const PatchSizes sizes = check_vision_processor(*document, file, findings_);
    if (findings_.size() != before) return std::nullopt;
    for (const auto& [key, size] :
         {std::pair{"spatial_merge_size", sizes.merge_size}, std::pair{"patch_size", sizes.patch_size}})
      if (vision.contains(key) && vision[key] != size)
        add(fmt::format("model.vision.{} is {}, but {} in {}", key, vision[key].dump(), size, file));
    return sizes;
  }

  std::optional<GraphFile> read_graph(const Json& model, const std::string& component) {
    const std::string file = model[component]["filename"].get<std::string>();
    if (!check_path(fmt::format("model.{}.filename", component), file)) return std::nullopt;
    return read_graph_file(package_, file, findings_);
  }

  void check_tokenizer_files(const Json& model) {
    fs::path folder = package_;
    if (model.contains("tokenizer_dir")) {
      const std::string name = model["tokenizer_dir"].get<std::string>();
      if (!lies_inside(name)) {
        add(fmt::format("model.tokenizer_dir is \"{}\", expected a path inside the package", name));
        return;
      }
      folder /= name;
    }
    check_tokenizer(folder, model, findings_);
  }

  /// Whether `file`, which `key` names, may be opened.
  bool check_path(const std::string& key, const std::string& file) {
    if (lies_inside(file)) return true;
    add(fmt::format("{} is \"{}\", expected a path inside the package", key, file));
    return false;
  }

  std::optional<Json> read_json(const std::string& file) {
    try {
      return read_json_file(package_ / file);
    } catch (const Error& error) {
      add_error(package_, error, findings_);
      return std::nullopt;
    }
  }

  void add(const std::string& sentence) { findings_.add(kGenaiConfigFile, sentence); }

  fs::path package_;
  Findings findings_;
};

}  // namespace

std::vector<std::string> genai_contract_findings(const fs::path& package) {
  return PackageChecker(package).check();
}

}  // namespace q3vl
