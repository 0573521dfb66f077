#include "chat/template_source.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <string_view>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "chat/render_protocol.h"
#include "tokenizer/utf8.h"

namespace q3vl {
namespace {

namespace fs = std::filesystem;

/// CRLF and lone CR become LF, as Jinja2 reads templates; a byte order mark at the beginning goes.
std::string normalized(std::string_view text) {
  constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
  if (text.starts_with(byte_order_mark)) text.remove_prefix(byte_order_mark.size());
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\r' && text.substr(i + 1).starts_with('\n')) continue;
    result += text[i] == '\r' ? '\n' : text[i];
  }
  return result;
}

void expect_utf8(std::string_view text, const std::string& origin) {
  for (std::size_t at = 0; at < text.size();) {
    const Utf8Step step = utf8_step(text.substr(at));
    if (step.kind != Utf8Step::Kind::character)
      throw Error(ErrorKind::bad_input,
                  fmt::format("{}: the chat template is not UTF-8: byte {} is 0x{:02x}; save it as UTF-8", origin, at,
                              static_cast<unsigned>(static_cast<unsigned char>(text[at]))));
    at += step.length;
  }
}

/// "default" of a list of {"name": …, "template": …}.
std::string default_template(const Json& list, const std::string& origin) {
  for (const Json& item : list) {
    const JsonObject named(item, origin, std::string(kTemplateKey));
    if (named.string("name") == "default") return named.string("template");
  }
  throw Error(ErrorKind::bad_input, fmt::format("{}: chat_template lists no template with the name default", origin));
}

/// The bytes of a file that may have a template; nothing if the file is not there.
std::optional<std::string> bytes_of(const fs::path& path) {
  if (!path_exists(path)) return std::nullopt;
  return read_text_file(path, path.filename() == kTemplateJinjaFile ? kConfigJson.bytes : kTokenizerJson.bytes);
}

/// The template that `bytes`, those of `path`, have as it is written there.
std::optional<std::string> template_in(const fs::path& path, const std::string& bytes) {
  if (path.filename() == kTemplateJinjaFile) return bytes;
  const Json document = parse_json(bytes, path.string(), ErrorKind::bad_input, kTokenizerJson);
  const JsonObject root(document, path.string());
  const bool in_config = path.filename() == kTemplateConfigFile;
  if (in_config && !root.has(kTemplateKey)) return std::nullopt;
  const bool list = in_config && document.at(kTemplateKey).is_array();
  return list ? default_template(document.at(kTemplateKey), root.origin()) : root.string(kTemplateKey);
}

/// Whether a file that is not taken has another template, or something that is none. Throws Error(bad_input) if it
/// cannot be read.
bool disagrees(const fs::path& path, const std::string& text) {
  const std::optional<std::string> bytes = bytes_of(path);
  if (!bytes) return false;
  try {
    const auto other = template_in(path, *bytes);
    return other && normalized(*other) != text;
  } catch (const Error&) {
    return true;
  }
}

}  // namespace

std::optional<TemplateSource> find_chat_template(const fs::path& folder) {
  TemplateSource source;
  std::vector<std::string> others;
  for (const std::string_view file : kTemplateFiles) {
    if (!source.file.empty()) {
      if (disagrees(folder / file, source.text)) others.emplace_back(file);
      continue;
    }
    const auto bytes = bytes_of(folder / file);
    const auto written = bytes ? template_in(folder / file, *bytes) : std::nullopt;
    if (!written) continue;
    const std::string origin = (folder / file).string();
    expect_utf8(*written, origin);
    source.text = normalized(*written);
    source.file = file;
    if (source.text.size() > kMaxTemplateBytes)
      throw Error(ErrorKind::bad_input, fmt::format("{}: the chat template has {} bytes, expected {} at most", origin,
                                                    source.text.size(), kMaxTemplateBytes));
  }
  if (source.file.empty()) return std::nullopt;
  if (!others.empty())
    source.disagreement =
        fmt::format("{} {} another chat template than {}; {} is taken, as Hugging Face does",
                    fmt::join(others, " and "), others.size() == 1 ? "has" : "have", source.file, source.file);
  return source;
}

TemplateSource chat_template_of(const fs::path& folder) {
  if (auto source = find_chat_template(folder)) return *std::move(source);
  throw Error(ErrorKind::bad_input,
              fmt::format("{}: has no chat_template, and neither {} nor {} is beside it",
                          (folder / kTemplateConfigFile).string(), kTemplateJinjaFile, kTemplateJsonFile));
}

}  // namespace q3vl
