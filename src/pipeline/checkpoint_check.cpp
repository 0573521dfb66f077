#include "pipeline/checkpoint_check.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/parallel.h"
#include "checkpoint/weight_source.h"
#include "qwen3vl/names.h"
#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

constexpr std::size_t kMaxListed = 20;
constexpr std::int64_t kRowsAtOnce = 1024;

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
  WeightBlock block_a;
  WeightBlock block_b;
  const std::int64_t rows = a.shape.front();
  const std::int64_t columns = element_count(a.shape) / std::max<std::int64_t>(rows, 1);
  for (std::int64_t begin = 0; begin < rows; begin += kRowsAtOnce) {
    throw_if_interrupted();
    const std::int64_t end = std::min(begin + kRowsAtOnce, rows);
    block_a.read(checkpoint, a, columns, begin, end);
    block_b.read(checkpoint, b, columns, begin, end);
    if (!std::ranges::equal(block_a.stored(), block_b.stored())) return false;
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

void check_weights(const Checkpoint& checkpoint, const TextConfig& text, const WeightRequests& written,
                   const WeightRequests& whole, bool allow_unused) {
  const std::string folder = checkpoint.folder().string();
  if (!written.faults().empty())
    throw Error(
        ErrorKind::bad_input,
        fmt::format(
            "{}: tensors do not fit config.json: {}; the checkpoint is incomplete or belongs to another config.json",
            folder, listed(written.faults())));
  const std::string head = "lm_head.weight";
  const TensorInfo* stored_head = text.tie_word_embeddings ? checkpoint.find(head) : nullptr;
  std::vector<std::string> unused;
  for (const auto& [name, info] : checkpoint.tensors())
    if (!whole.requested(name) && &info != stored_head)
      unused.push_back(fmt::format("\"{}\" {}", name, to_string(info.shape)));
  if (!unused.empty() && !allow_unused)
    throw Error(ErrorKind::bad_input, fmt::format("{}: {} tensors are not part of the model that config.json "
                                                  "describes: {}; leave them out with --allow-unused "
                                                  "if that is right",
                                                  folder, unused.size(), listed(unused)));
  const TensorInfo* embedding = checkpoint.find((names::embed_tokens() / "weight").path());
  if (stored_head && embedding && written.requested(embedding->name) &&
      !equal_bytes(checkpoint, *stored_head, *embedding))
    throw Error(ErrorKind::bad_input, fmt::format("{}: config.json ties lm_head to the embedding "
                                                  "(tie_word_embeddings), but the stored \"{}\" differs from \"{}\"",
                                                  folder, head, embedding->name));
}

}  // namespace q3vl
