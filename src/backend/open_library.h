// Libraries with LibTorch, which lie with the program and are opened when a command needs them.
#pragma once

#include <string>

namespace q3vl {

/// Opens the library called `name` and returns its function called `entry`. It is never closed: LibTorch has threads
/// and globals that outlive any use of it. Throws Error(internal) when it is missing or cannot be opened.
void* open_library(const std::string& name, const char* entry);

}  // namespace q3vl
