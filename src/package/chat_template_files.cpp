#include "package/chat_template_files.h"

#include "base/file.h"
#include "base/json.h"
#include "chat/template_source.h"

namespace q3vl {

std::map<std::string, std::string> settled_chat_template_files(const std::filesystem::path& checkpoint,
                                                               const std::string& chat_template) {
  std::map<std::string, std::string> files;
  for (const std::string_view file : kTemplateFiles) {
    const std::filesystem::path path = checkpoint / file;
    if (!path_exists(path)) continue;
    const std::string name(file);
    if (file == kTemplateJinjaFile) {
      if (read_text_file(path, kConfigJson.bytes) != chat_template) files[name] = chat_template;
      continue;
    }
    Json document = read_json_file(path, kTokenizerJson);
    const std::string key(kTemplateKey);
    if (!JsonObject(document, path.string()).json().contains(key) || document[key] == chat_template) continue;
    document[key] = chat_template;
    files[name] = document.dump(2) + "\n";
  }
  return files;
}

}  // namespace q3vl
