#include "checkpoint/checkpoint_writing.h"

#include <fmt/format.h>

#include "base/json.h"

namespace q3vl {

std::string safetensors_header(const std::vector<SafetensorsEntry>& entries, const SafetensorsMetadata& metadata) {
  OrderedJson header = {{"__metadata__", metadata}};
  for (const SafetensorsEntry& entry : entries)
    header[entry.name] = {
        {"dtype", safetensors_name(entry.type)}, {"shape", entry.shape}, {"data_offsets", {entry.begin, entry.end}}};
  std::string json = header.dump();
  json.resize((json.size() + 7) / 8 * 8, ' ');
  std::string prefix(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) prefix[i] = static_cast<char>(json.size() >> (8 * i));
  return prefix + json;
}

std::string shard_name(std::size_t index, std::size_t count) {
  return count == 1 ? "model.safetensors" : fmt::format("model-{:05}-of-{:05}.safetensors", index + 1, count);
}

std::string index_text(const std::map<std::string, std::string>& weight_map, std::uint64_t total_size) {
  const OrderedJson document = {{"metadata", {{"total_size", total_size}}}, {"weight_map", weight_map}};
  return document.dump(2) + "\n";
}

}  // namespace q3vl
