// Files that are installed with this code and found without knowing where that is.
#pragma once

#include <filesystem>
#include <string>

namespace q3vl {

/// The file that this code was loaded from: the library libqwen3vl_export.so, or a program that has it inside. A
/// symbolic link is followed. Throws std::filesystem::filesystem_error when the file has been moved since.
std::filesystem::path this_file();

/// Where `name` lies: beside this_file(), as in a build folder, or else in the folder qwen3vl-export there, as
/// installed. Empty when it is in neither.
std::filesystem::path companion_file(const std::string& name);

}  // namespace q3vl
