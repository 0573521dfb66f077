// The JSON of a safetensors header. Of a header that is accepted the tensors follow each other without holes from the
// first byte to the last, each as long as its shape and type say, counted here in 128 bits; and what is written of it
// reads as it did.
#include <algorithm>

#include "base/json.h"
#include "checkpoint/checkpoint_writing.h"
#include "checkpoint/safetensors_header.h"
#include "fuzz.h"

namespace {

using q3vl::Json;
using q3vl::SafetensorsEntry;

/// Where the last tensor ends by its own word, so that headers are not refused for the length of a file that nobody
/// has.
std::uint64_t described_bytes(const std::string& text) {
  const Json document = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  std::uint64_t end = 0;
  if (!document.is_object()) return end;
  for (const Json& tensor : document) {
    if (!tensor.is_object() || !tensor.contains("data_offsets")) continue;
    const Json& offsets = tensor["data_offsets"];
    if (offsets.is_array() && offsets.size() == 2 && offsets[1].is_number_unsigned())
      end = std::max(end, offsets[1].get<std::uint64_t>());
  }
  return end;
}

void expect_sound(const std::vector<SafetensorsEntry>& entries, std::uint64_t data_bytes) {
  std::uint64_t reached = 0;
  for (const SafetensorsEntry& entry : entries) {
    q3vl::fuzz::expect(entry.begin == reached, "tensors follow each other");
    q3vl::fuzz::expect(entry.end >= entry.begin && entry.end <= data_bytes, "a tensor lies inside the file");
    bool empty = false;
    for (const std::int64_t size : entry.shape) {
      q3vl::fuzz::expect(size >= 0, "sizes are not negative");
      empty = empty || size == 0;
    }
    unsigned __int128 bytes = empty ? 0 : q3vl::size_of(entry.type);
    for (const std::int64_t size : entry.shape) {
      if (!empty) bytes *= static_cast<unsigned __int128>(size);
      q3vl::fuzz::expect(bytes <= data_bytes, "a tensor is no larger than the file");
    }
    q3vl::fuzz::expect(bytes == entry.end - entry.begin, "a tensor is as long as its shape and type say");
    reached = entry.end;
  }
  q3vl::fuzz::expect(reached == data_bytes, "the tensors reach the end of the file");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text = q3vl::fuzz::text(data, size);
  const std::uint64_t data_bytes = described_bytes(text);
  std::vector<SafetensorsEntry> entries;
  q3vl::SafetensorsMetadata metadata;
  if (q3vl::fuzz::accepts([&] { entries = q3vl::parse_safetensors_header(text, data_bytes, "model.safetensors"); })) {
    expect_sound(entries, data_bytes);
    const std::string written = q3vl::safetensors_header(entries).substr(8);
    const auto again = q3vl::parse_safetensors_header(written, data_bytes, "written");
    q3vl::fuzz::expect(std::ranges::equal(entries, again,
                                          [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
                                            return a.type == b.type && a.begin == b.begin && a.end == b.end;
                                          }),
                       "what is written reads as it did");
  }
  q3vl::fuzz::accepts([&] { metadata = q3vl::parse_safetensors_metadata(text, "model.safetensors"); });
  q3vl::fuzz::accepts([&] { q3vl::parse_safetensors_header(text, size, "model.safetensors"); });
  return 0;
}
