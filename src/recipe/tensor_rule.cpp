#include "recipe/tensor_rule.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

std::optional<std::int64_t> parse_layer(std::string_view text) {
  std::int64_t layer = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), layer);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return layer;
}

std::optional<LayerRange> parse_range(std::string_view text) {
  const std::size_t dots = text.find("..");
  const auto first = parse_layer(text.substr(0, dots));
  const auto last = dots == std::string_view::npos ? first : parse_layer(text.substr(dots + 2));
  if (!first || !last) return std::nullopt;
  return LayerRange{*first, *last};
}

std::int64_t from_start(std::int64_t layer, std::int64_t layer_count) {
  return layer < 0 ? layer_count + layer : layer;
}

std::string to_string(const LayerRange& range) {
  return range.first == range.last ? fmt::format("{}", range.first) : fmt::format("{}..{}", range.first, range.last);
}

}  // namespace

bool TensorRule::covers(const WeightUse& use, std::int64_t layer_count) const {
  if (use.role != role) return false;
  return layers.empty() || std::ranges::any_of(layers, [&](const LayerRange& range) {
           return use.layer >= from_start(range.first, layer_count) && use.layer <= from_start(range.last, layer_count);
         });
}

TensorRule parse_rule(const std::string& what, const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos)
    throw Error(
        ErrorKind::usage,
        fmt::format("{} is \"{}\", expected ROLE=SPEC or ROLE@LAYERS=SPEC, as in mlp_down@0..3,-1=int8", what, text));
  const std::size_t at = std::min(text.find('@'), equals);
  const std::string name = text.substr(0, at);
  const auto role =
      std::ranges::find_if(roles(), [&](const RoleRow& row) { return row.has_rules && row.name == name; });
  if (role == roles().end()) {
    std::vector<std::string_view> names;
    for (const RoleRow& row : roles())
      if (row.has_rules) names.push_back(row.name);
    throw Error(ErrorKind::usage,
                fmt::format("{} names the role \"{}\", expected one of {}", what, name, fmt::join(names, ", ")));
  }
  TensorRule rule{.role = role->role, .layers = {}, .spec = parse_spec(what + " of " + name, text.substr(equals + 1))};
  if (at == equals) return rule;
  if (!in_layers(rule.role))
    throw Error(ErrorKind::usage,
                fmt::format("{} gives layers to {}, which has none of the language model's", what, name));
  for (std::size_t begin = at + 1; begin <= equals;) {
    const std::size_t end = std::min(text.find(',', begin), equals);
    const std::string part = text.substr(begin, end - begin);
    const auto range = parse_range(part);
    if (!range)
      throw Error(
          ErrorKind::usage,
          fmt::format("{} has the layers \"{}\", expected a number, or two with .. between them; -1 is the last", what,
                      part));
    rule.layers.push_back(*range);
    begin = end + 1;
  }
  return rule;
}

std::string to_string(const TensorRule& rule) {
  std::vector<std::string> ranges;
  for (const LayerRange& range : rule.layers) ranges.push_back(to_string(range));
  return fmt::format("{}{}{}={}", name_of(rule.role), ranges.empty() ? "" : "@", fmt::join(ranges, ","),
                     to_string(rule.spec));
}

void check_layers(const TensorRule& rule, std::int64_t layer_count) {
  for (const LayerRange& range : rule.layers) {
    const std::int64_t first = from_start(range.first, layer_count);
    const std::int64_t last = from_start(range.last, layer_count);
    if (first < 0 || first > last || last >= layer_count)
      throw Error(ErrorKind::usage, fmt::format("the rule {} names the layers {}, but the model has layers 0 to {}",
                                                to_string(rule), to_string(range), layer_count - 1));
  }
}

}  // namespace q3vl
