#include "package/assets.h"

#include <fmt/format.h>

#include <array>

#include "base/file.h"
#include "base/json.h"

namespace q3vl {
namespace {

namespace fs = std::filesystem;

struct Known {
  const char* name;
  const char* contents;
  bool of_pictures;
};

constexpr std::array kKnown = {
    Known{"tokenizer.json", "tokenizer", false},
    Known{"tokenizer_config.json", "tokenizer settings", false},
    Known{"vocab.json", "tokenizer vocabulary", false},
    Known{"merges.txt", "tokenizer merges", false},
    Known{"added_tokens.json", "tokenizer's added tokens", false},
    Known{"special_tokens_map.json", "tokenizer's special tokens", false},
    Known{"chat_template.jinja", "chat template", false},
    Known{"chat_template.json", "chat template", false},
    Known{"generation_config.json", "sampling settings", false},
    Known{"config.json", "the model's config", true},
    Known{"preprocessor_config.json", "image settings", true},
    Known{"processor_config.json", "processor settings", true},
    Known{"video_preprocessor_config.json", "video settings", true},
};

[[noreturn]] void missing(const fs::path& path, const char* use) {
  throw Error(ErrorKind::bad_input, fmt::format("{}: is missing; {}", path.string(), use));
}

}  // namespace

std::vector<Asset> assets(const fs::path& checkpoint, bool pictures) {
  for (const char* name : {"tokenizer.json", "tokenizer_config.json"})
    if (!fs::exists(checkpoint / name)) missing(checkpoint / name, "no client could read or write text without it");
  if (!fs::exists(checkpoint / "chat_template.jinja") && !fs::exists(checkpoint / "chat_template.json")) {
    const fs::path path = checkpoint / "tokenizer_config.json";
    const Json settings = read_json_file(path);
    if (!JsonObject(settings, path.string()).has("chat_template"))
      missing(checkpoint / "chat_template.jinja",
              "so are chat_template.json and the key chat_template of tokenizer_config.json; no client could put a "
              "question to the model");
  }
  std::vector<Asset> found;
  for (const Known& known : kKnown)
    if ((pictures || !known.of_pictures) && fs::exists(checkpoint / known.name))
      found.push_back({known.name, known.contents});
  return found;
}

void copy_assets(const fs::path& checkpoint, const std::vector<Asset>& assets, const fs::path& folder) {
  for (const Asset& asset : assets) write_text_file(folder / asset.name, read_text_file(checkpoint / asset.name));
}

}  // namespace q3vl
