#include "checkpoint/safetensors_header.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <utility>

#include "base/json.h"

namespace q3vl {
namespace {

constexpr const char* kMetadataKey = "__metadata__";

/// Types that the format has and this program does not read, with the bits of an element.
constexpr std::array<std::pair<std::string_view, std::int64_t>, 10> kUnreadTypes = {{{"F4", 4},
                                                                                     {"F6_E2M3", 6},
                                                                                     {"F6_E3M2", 6},
                                                                                     {"F8_E8M0", 8},
                                                                                     {"F8_E4M3FNUZ", 8},
                                                                                     {"F8_E5M2FNUZ", 8},
                                                                                     {"U16", 16},
                                                                                     {"U32", 32},
                                                                                     {"C64", 64},
                                                                                     {"U64", 64}}};

/// The bits of an element of the type called `dtype`, or nothing when the format has no such type.
std::optional<std::int64_t> bits_of(const std::string& dtype) {
  if (const auto known = data_type_from_safetensors(dtype)) return 8 * static_cast<std::int64_t>(size_of(*known));
  const auto* const unread = std::ranges::find(kUnreadTypes, dtype, &std::pair<std::string_view, std::int64_t>::first);
  return unread == kUnreadTypes.end() ? std::nullopt : std::optional(unread->second);
}

std::string format_names() {
  std::string names = safetensors_names();
  for (const auto& [name, bits] : kUnreadTypes) names.append(", ").append(name);
  return names;
}

/// "needs 12 bytes", or why it cannot say. Elements may be narrower than a byte.
std::string needed_bytes(const std::optional<std::int64_t>& bits) {
  if (!bits) return "needs more than 2^60 bytes";
  return *bits % 8 == 0 ? fmt::format("needs {} bytes", *bits / 8) : fmt::format("needs {} bits", *bits);
}

/// As the reference does, keys that it does not know are passed over: they change nothing of what the known ones say.
SafetensorsEntry parse_entry(const JsonObject& object, const std::string& name) {
  SafetensorsEntry entry{
      .name = name, .type = {}, .shape = object.integers("shape", 0, INT64_MAX), .begin = 0, .end = 0};
  const std::string type = object.string("dtype");
  const std::optional<std::int64_t> bits = bits_of(type);
  if (!bits)
    object.fail(fmt::format("tensor \"{}\" has the dtype \"{}\", expected one of {}", name, type, format_names()));

  const auto offsets = object.integers("data_offsets", 0, INT64_MAX);
  if (offsets.size() != 2 || offsets[0] > offsets[1])
    object.fail(fmt::format("tensor \"{}\" has data_offsets {}, expected [begin, end]", name, to_string(offsets)));
  entry.begin = static_cast<std::uint64_t>(offsets[0]);
  entry.end = static_cast<std::uint64_t>(offsets[1]);

  // The width of an element is a factor like the sizes, so that no product can wrap around.
  Shape bit_shape = entry.shape;
  bit_shape.push_back(*bits);
  const std::optional<std::int64_t> needed = checked_element_count(bit_shape);
  if (!needed || *needed % 8 != 0 || static_cast<std::uint64_t>(*needed / 8) != entry.end - entry.begin)
    object.fail(fmt::format("tensor \"{}\" is {} of shape {}, which {}, but its data_offsets hold {}", name, type,
                            to_string(entry.shape), needed_bytes(needed), entry.end - entry.begin));
  if (const auto known = data_type_from_safetensors(type))
    entry.type = *known;
  else
    throw Error(
        ErrorKind::unsupported,
        fmt::format("{}: tensor \"{}\" has the dtype \"{}\", which is not exported; expected bf16, fp16 or fp32 "
                    "weights",
                    object.origin(), name, type));
  return entry;
}

/// The parsed header, which only spaces may follow.
Json parse_header(const std::string& json, const std::string& origin) {
  const auto last = json.find_last_not_of(' ');
  if (last != std::string::npos && (json[last] == '\n' || json[last] == '\r' || json[last] == '\t'))
    throw Error(ErrorKind::bad_input,
                fmt::format("{}: its header ends with the byte 0x{:02x}, expected }} and nothing but spaces (0x20) as "
                            "padding",
                            origin, static_cast<unsigned char>(json[last])));
  return parse_json(json, origin + ": header", ErrorKind::bad_input, kSafetensorsJson);
}

/// Strings by name; a null is the same as none.
SafetensorsMetadata metadata_of(const JsonObject& root) {
  SafetensorsMetadata metadata;
  if (!root.has(kMetadataKey)) return metadata;
  const JsonObject strings = root.object(kMetadataKey);
  for (const auto& item : strings.json().items()) metadata.emplace(item.key(), strings.string(item.key()));
  return metadata;
}

}  // namespace

std::vector<SafetensorsEntry> parse_safetensors_header(const std::string& json, std::uint64_t data_bytes,
                                                       const std::string& origin) {
  const Json document = parse_header(json, origin);
  const JsonObject root(document, origin);
  metadata_of(root);  // refuses what is none
  std::vector<SafetensorsEntry> entries;
  for (const auto& [name, value] : document.items()) {
    if (name == kMetadataKey) continue;
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
  const Json document = parse_header(json, origin);
  return metadata_of(JsonObject(document, origin));
}

}  // namespace q3vl
