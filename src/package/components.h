// Which graphs of a model are written.
#pragma once

#include <string>
#include <vector>

namespace q3vl {

struct Components {
  bool vision = false;
  bool embedding = false;
  bool text = false;

  bool whole() const { return vision && embedding && text; }
  bool text_only() const { return text && !vision && !embedding; }
  bool operator==(const Components&) const = default;
  bool loadable() const { return whole() || text_only(); }

  std::vector<std::string> names() const {
    std::vector<std::string> list;
    if (vision) list.emplace_back("vision");
    if (embedding) list.emplace_back("embedding");
    if (text) list.emplace_back("text");
    return list;
  }
};

}  // namespace q3vl
