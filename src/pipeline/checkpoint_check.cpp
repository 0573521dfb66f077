#include "pipeline/checkpoint_check.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/parallel.h"
#include "qwen3vl/names.h"
#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

constexpr std::size_t kMaxListed = 20;
constexpr std::uint64_t kBytesToCompare = 4U << 20;

/// "a; b; c", and how many more there are.
std::string listed(const std::vector<std::string>& sentences) {
  const auto shown = std::min(sentences.size(), kMaxListed);
  std::string text =
      fmt::format("{}", fmt::join(sentences.begin(), sentences.begin() + static_cast<std::ptrdiff_t>(shown), "; "));
  if (sentences.size() > shown) text += fmt::format("; and {} more", sentences.size() - shown);
  return text;
}

bool equal_bytes(const Checkpoint& checkpoint, const TensorInfo& a, const TensorInfo& b) {
  if (a.type != b.type || a.shape != b.shape) return false;
  std::vector<std::byte> bytes_a(kBytesToCompare);
  std::vector<std::byte> bytes_b(kBytesToCompare);
  for (std::uint64_t begin = 0; begin < a.bytes; begin += kBytesToCompare) {
    throw_if_interrupted();
    const std::size_t count = std::min(kBytesToCompare, a.bytes - begin);
    bytes_a.resize(count);
    bytes_b.resize(count);
    checkpoint.shards()[a.shard].read_at(a.offset + begin, bytes_a);
    checkpoint.shards()[b.shard].read_at(b.offset + begin, bytes_b);
    if (bytes_a != bytes_b) return false;
  }
  return true;
}

}  // namespace

WeightLookup lookup_in(const Checkpoint& checkpoint) {
  return [&checkpoint](const std::string& name) -> std::optional<StoredWeight> {
    const TensorInfo* info = checkpoint.find(name);
    if (!info) return std::nullopt;
    return StoredWeight{info->type, info->shape};
  };
}

std::vector<const TensorInfo*> unexpected_tensors(const Checkpoint& checkpoint, const TextConfig& text,
                                                  const WeightRequests& whole) {
  const TensorInfo* stored_head = text.tie_word_embeddings ? checkpoint.find(names::kHeadWeight) : nullptr;
  std::vector<const TensorInfo*> unexpected;
  for (const auto& [name, info] : checkpoint.tensors())
    if (!whole.requested(name) && &info != stored_head) unexpected.push_back(&info);
  return unexpected;
}

void check_weights(const Checkpoint& checkpoint, const TextConfig& text, const WeightRequests& written,
                   const WeightRequests& whole, bool allow_unused) {
  const std::string folder = checkpoint.folder().string();
  std::vector<std::string> faults;
  for (const WeightFault& fault : written.faults()) faults.push_back(fault.message);
  if (!faults.empty())
    throw Error(
        ErrorKind::bad_input,
        fmt::format(
            "{}: tensors do not fit config.json: {}; the checkpoint is incomplete or belongs to another config.json",
            folder, listed(faults)));
  std::vector<std::string> unused;
  for (const TensorInfo* info : unexpected_tensors(checkpoint, text, whole))
    unused.push_back(fmt::format("\"{}\" {}", info->name, to_string(info->shape)));
  if (!unused.empty() && !allow_unused)
    throw Error(ErrorKind::bad_input, fmt::format("{}: {} tensors are not part of the model that config.json "
                                                  "describes: {}; leave them out with --allow-unused "
                                                  "if that is right",
                                                  folder, unused.size(), listed(unused)));
}

void check_tied_head(const Checkpoint& checkpoint, const TextConfig& text, const WeightRequests& written) {
  const TensorInfo* head = text.tie_word_embeddings ? checkpoint.find(names::kHeadWeight) : nullptr;
  const TensorInfo* embedding = checkpoint.find((names::embed_tokens(text) / "weight").path());
  if (head && embedding && written.requested(embedding->name) && !equal_bytes(checkpoint, *head, *embedding))
    throw Error(ErrorKind::bad_input, fmt::format("{}: config.json ties lm_head to the embedding "
                                                  "(tie_word_embeddings), but the stored \"{}\" differs from \"{}\"",
                                                  checkpoint.folder().string(), names::kHeadWeight, embedding->name));
}

}  // namespace q3vl
