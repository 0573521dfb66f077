// Where a folder keeps its chat template. A checkpoint may have one in three places; every reader takes the first that
// has one, as Hugging Face does:
//
//   1. chat_template.jinja
//   2. chat_template.json           {"chat_template": "…"}
//   3. tokenizer_config.json        {"chat_template": "…"}, or a list of templates with names, of which "default" is
//                                   taken; null is none
//
//   if (const auto source = find_chat_template(folder)) render(source->text);
//
// Source: ProcessorMixin and PreTrainedTokenizerBase of transformers 5.
#pragma once

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "contract/file_names.h"

namespace q3vl {

inline constexpr std::string_view kTemplateJinjaFile = "chat_template.jinja";
inline constexpr std::string_view kTemplateJsonFile = "chat_template.json";
inline constexpr std::string_view kTemplateConfigFile = kTokenizerConfigFile;
inline constexpr std::string_view kTemplateKey = "chat_template";  ///< in both JSON files

/// In their order.
inline constexpr std::array kTemplateFiles = {kTemplateJinjaFile, kTemplateJsonFile, kTemplateConfigFile};

struct TemplateSource {
  std::string text;  ///< UTF-8 with line feeds alone, without a byte order mark: what Jinja2 makes of it
  std::string file;  ///< the one of kTemplateFiles that it is from
  /// Empty when every place that has a template has this one, and otherwise a sentence for the user.
  std::string disagreement;

  bool operator==(const TemplateSource&) const = default;
};

/// The template of `folder`, or nothing where no file has one. Throws Error(bad_input) for one that is no string, not
/// UTF-8 or longer than kMaxTemplateBytes, and for a file that cannot be read.
std::optional<TemplateSource> find_chat_template(const std::filesystem::path& folder);

/// The same, and Error(bad_input) where no file has one.
TemplateSource chat_template_of(const std::filesystem::path& folder);

}  // namespace q3vl
