// What a check of a package has found: one sentence each.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <vector>

namespace q3vl {

class Findings {
 public:
  /// Adds "<file>: <sentence>".
  void add(std::string_view file, std::string_view sentence) { list_.push_back(fmt::format("{}: {}", file, sentence)); }
  /// Adds a sentence that names its file itself.
  void add(std::string sentence) { list_.push_back(std::move(sentence)); }

  std::size_t size() const { return list_.size(); }
  const std::vector<std::string>& list() const { return list_; }

 private:
  std::vector<std::string> list_;
};

}  // namespace q3vl
