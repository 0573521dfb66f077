#include "checkpoint/safetensors_header.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/json.h"

namespace q3vl {
namespace {

SafetensorsEntry parse_entry(const JsonObject& object, const std::string& name) {
  object.expect_only({"dtype", "shape", "data_offsets"});
  SafetensorsEntry entry{
      .name = name, .type = {}, .shape = object.integers("shape", 0, INT64_MAX), .begin = 0, .end = 0};
  const std::string type = object.string("dtype");
  const auto known = data_type_from_safetensors(type);
  if (!known)
    object.fail(fmt::format("tensor \"{}\" has the dtype \"{}\", expected one of {}", name, type, safetensors_names()));
  entry.type = *known;

  const auto offsets = object.integers("data_offsets", 0, INT64_MAX);
  if (offsets.size() != 2 || offsets[0] > offsets[1])
    object.fail(fmt::format("tensor \"{}\" has data_offsets {}, expected [begin, end]", name, to_string(offsets)));
  entry.begin = static_cast<std::uint64_t>(offsets[0]);
  entry.end = static_cast<std::uint64_t>(offsets[1]);

  // The width of an element is a factor like the sizes, so that no product can wrap around.
  Shape byte_shape = entry.shape;
  byte_shape.push_back(static_cast<std::int64_t>(size_of(entry.type)));
  const std::optional<std::int64_t> bytes = checked_element_count(byte_shape);
  if (!bytes || static_cast<std::uint64_t>(*bytes) != entry.end - entry.begin)
    object.fail(fmt::format("tensor \"{}\" is {} of shape {}, which needs {} bytes, but its data_offsets hold {}", name,
                            type, to_string(entry.shape), bytes ? std::to_string(*bytes) : "more than 2^63",
                            entry.end - entry.begin));
  return entry;
}

}  // namespace

std::vector<SafetensorsEntry> parse_safetensors_header(const std::string& json, std::uint64_t data_bytes,
                                                       const std::string& origin) {
  const Json document = parse_json(json, origin + ": header");
  const JsonObject root(document, origin);
  std::vector<SafetensorsEntry> entries;
  for (const auto& [name, value] : document.items()) {
    if (name == "__metadata__") continue;
    entries.push_back(parse_entry(JsonObject(value, origin, name), name));
  }
  std::sort(entries.begin(), entries.end(),
            [](const auto& a, const auto& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  std::uint64_t reached = 0;
  for (const SafetensorsEntry& entry : entries) {
    if (entry.begin != reached)
      root.fail(fmt::format(
          "tensor \"{}\" begins at byte {}, expected {}: tensors must follow each other without holes or overlaps",
          entry.name, entry.begin, reached));
    reached = entry.end;
  }
  if (reached != data_bytes)
    root.fail(fmt::format("holds {} bytes of tensors, but its header describes {}; {}", data_bytes, reached,
                          data_bytes < reached ? "the file was cut short or is still being downloaded"
                                               : "the bytes after the last tensor belong to none"));
  return entries;
}

SafetensorsMetadata parse_safetensors_metadata(const std::string& json, const std::string& origin) {
  const Json document = parse_json(json, origin + ": header");
  const JsonObject root(document, origin);
  SafetensorsMetadata metadata;
  if (!root.has("__metadata__")) return metadata;
  const JsonObject strings = root.object("__metadata__");
  for (const auto& item : strings.json().items()) metadata.emplace(item.key(), strings.string(item.key()));
  return metadata;
}

}  // namespace q3vl
