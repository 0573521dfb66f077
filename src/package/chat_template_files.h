// The chat template in a package: every file that has one has the same.
#pragma once

#include <filesystem>
#include <map>
#include <string>

namespace q3vl {

/// The contents, by name, of those files of `checkpoint` that have a chat template and not exactly `chat_template`: as
/// they are in a package, with that one as a string. Files that have none, or that one, are left out. Throws
/// Error(bad_input).
std::map<std::string, std::string> settled_chat_template_files(const std::filesystem::path& checkpoint,
                                                               const std::string& chat_template);

}  // namespace q3vl
