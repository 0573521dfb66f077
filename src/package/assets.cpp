#include "package/assets.h"

#include <fmt/format.h>

#include <array>
#include <functional>

#include "base/file.h"
#include "base/json.h"
#include "base/sha256.h"
#include "chat/template_source.h"
#include "contract/file_names.h"

namespace q3vl {
namespace {

namespace fs = std::filesystem;

struct Known {
  const char* name;
  const char* contents;
  AssetUse use;
};

constexpr std::array kKnown = {
    Known{kTokenizerFile, "tokenizer", AssetUse::text},
    Known{kTokenizerConfigFile, "tokenizer settings", AssetUse::text},
    Known{kVocabularyFile, "tokenizer vocabulary", AssetUse::text},
    Known{kMergesFile, "tokenizer merges", AssetUse::text},
    Known{kAddedTokensFile, "tokenizer's added tokens", AssetUse::text},
    Known{kSpecialTokensFile, "tokenizer's special tokens", AssetUse::text},
    Known{kTemplateJinjaFile.data(), "chat template", AssetUse::text},
    Known{kTemplateJsonFile.data(), "chat template", AssetUse::text},
    Known{kGenerationConfigFile, "sampling settings", AssetUse::text},
    Known{kConfigFile, "the model's config", AssetUse::model},
    Known{kPreprocessorFile, "image settings", AssetUse::pictures},
    Known{kProcessorFile, "processor settings", AssetUse::pictures},
    Known{kVideoPreprocessorFile, "video settings", AssetUse::pictures},
};

/// The files that `checkpoint` has of the uses that `wanted` is true for.
std::vector<Asset> existing(const fs::path& checkpoint, const std::function<bool(AssetUse)>& wanted) {
  std::vector<Asset> found;
  for (const Known& known : kKnown)
    if (wanted(known.use) && path_exists(checkpoint / known.name))
      found.push_back({known.name, known.contents, File::open(checkpoint / known.name).size()});
  return found;
}

[[noreturn]] void missing(const fs::path& path, const char* use) {
  throw Error(ErrorKind::bad_input, fmt::format("{}: is missing; {}", path.string(), use));
}

}  // namespace

std::vector<Asset> assets(const fs::path& checkpoint, bool pictures) {
  for (const char* name : {kTokenizerFile, kTokenizerConfigFile})
    if (!path_exists(checkpoint / name)) missing(checkpoint / name, "no client could read or write text without it");
  if (!find_chat_template(checkpoint))
    missing(checkpoint / kTemplateJinjaFile,
            "so are chat_template.json and the key chat_template of tokenizer_config.json; no client could put a "
            "question to the model");
  return existing(checkpoint, [pictures](AssetUse use) { return pictures || use == AssetUse::text; });
}

std::vector<Asset> assets_for(const fs::path& checkpoint, AssetUse use) {
  return existing(checkpoint, [use](AssetUse of) { return of == use; });
}

std::map<std::string, std::string> copy_assets(const fs::path& checkpoint, const std::vector<Asset>& assets,
                                               const fs::path& folder) {
  std::map<std::string, std::string> sha256;
  for (const Asset& asset : assets) {
    const std::string text = read_text_file(checkpoint / asset.name, kTokenizerJson.bytes);
    if (text.size() != asset.bytes)
      throw Error(ErrorKind::bad_input, fmt::format("{}: has {} bytes now and had {}; it changed while it was read",
                                                    (checkpoint / asset.name).string(), text.size(), asset.bytes));
    write_text_file(folder / asset.name, text);
    sha256[asset.name] = sha256_of(text);
  }
  return sha256;
}

}  // namespace q3vl
