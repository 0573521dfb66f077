#include "pipeline/checkpoint_check.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "pipeline/checkpoint_folder.h"
#include "qwen3vl/names.h"
#include "qwen3vl_export/error.h"
#include "weights/weight_rows.h"

namespace q3vl {
namespace {

constexpr std::size_t kMaxListed = 20;

/// "a; b; c", and how many more there are.
std::string listed(const std::vector<std::string>& sentences) {
  const auto shown = std::min(sentences.size(), kMaxListed);
  std::string text =
      fmt::format("{}", fmt::join(sentences.begin(), sentences.begin() + static_cast<std::ptrdiff_t>(shown), "; "));
  if (sentences.size() > shown) text += fmt::format("; and {} more", sentences.size() - shown);
  return text;
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
  if (!faults.empty()) {
    const std::string names = explain_names(checkpoint);
    throw Error(ErrorKind::bad_input,
                fmt::format("{}: tensors do not fit config.json: {}; {}", folder, listed(faults),
                            names.empty() ? "the checkpoint is incomplete or belongs to another config.json" : names));
  }
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
  if (head && embedding && written.requested(embedding->name) &&
      !equal_weights({checkpoint, head->name}, {checkpoint, embedding->name}))
    throw Error(ErrorKind::bad_input, fmt::format("{}: config.json ties lm_head to the embedding "
                                                  "(tie_word_embeddings), but the stored \"{}\" differs from \"{}\"",
                                                  checkpoint.folder().string(), names::kHeadWeight, embedding->name));
}

}  // namespace q3vl
