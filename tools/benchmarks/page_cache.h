// What of a file the operating system holds in memory.
#pragma once

#include <filesystem>
#include <vector>

namespace q3vl {

using Files = std::vector<std::filesystem::path>;

/// Reads all of the files, so that the page cache holds them. Throws Error(bad_input).
void warm_page_cache(const Files& files);

/// Gives up what the page cache holds of the files. Throws Error(bad_input).
void drop_from_page_cache(const Files& files);

/// The share of the files' pages that the page cache holds, from 0 to 1. Throws Error(bad_input).
double page_cache_share(const Files& files);

}  // namespace q3vl
