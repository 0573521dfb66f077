// A package's graphs in ONNX Runtime, one session at a time, on the cases of a proof.
#pragma once

#include <filesystem>
#include <optional>
#include <span>
#include <vector>

#include "backend/tensor_backend.h"
#include "config/model_config.h"
#include "onnx/model_probe.h"
#include "package/package_layout.h"
#include "runtime/decoder.h"
#include "verify/cases.h"

namespace q3vl {

/// What the decoder gives for one case; P is the number of its positions.
struct TextOutputs {
  std::vector<HostTensor> hidden;  ///< a layer each: [P, H], the residual stream after it
  std::vector<HostTensor> keys;    ///< a layer each: [kv_heads, P, head_dim]; empty where the cache is int8
  std::vector<HostTensor> values;
  HostTensor logits;  ///< [P, vocab_size]
};

/// Logits of the decoder as clients call it, a tensor a case.
struct DecodingOutputs {
  /// The prompt but for its last kDecodedTokens tokens, then these one by one over the cache: the last row of each
  /// call, [1 + kDecodedTokens, vocab_size].
  std::vector<HostTensor> growing;
  std::vector<HostTensor> shared;
  /// The first two cases as one right-padded batch (fewer if there are no more): [vocab_size] of each row's last token.
  std::vector<HostTensor> batch;
};

class PackageRun {
 public:
  /// `text_only`: the text decoder takes token ids and has the embedding inside. All arguments must outlive the object.
  PackageRun(const OnnxRuntime& runtime, const std::filesystem::path& package, const PackageLayout& layout,
             const ModelConfig& config, bool text_only, int threads)
      : runtime_(runtime),
        package_(package),
        layout_(&layout),
        config_(config),
        text_only_(text_only),
        options_{threads} {}

  /// The vision graph on each case's pictures: [tokens, (1+D)·H], without rows where there are none.
  std::vector<HostTensor> vision(std::span<const VerifyCase> cases, Activations activations) const;

  /// The embedding on the cases and each list of their features: [1, L, (1+D)·H]. A list may end before the cases do.
  std::vector<std::vector<HostTensor>> embedding(std::span<const VerifyCase> cases,
                                                 std::span<const std::vector<HostTensor>> features) const;

  /// A copy of the text decoder that gives logits at the cases' positions. `inputs` has a tensor [1, L, (1+D)·H] a
  /// case, or is empty in a text-only package.
  std::vector<TextOutputs> text(std::span<const VerifyCase> cases, std::span<const HostTensor> inputs,
                                Activations activations) const;

  /// The text decoder with float activations, else as it is, as clients call it.
  DecodingOutputs decoding(std::span<const VerifyCase> cases, std::span<const HostTensor> inputs) const;

 private:
  Session probe(GraphKind kind, Activations activations) const;
  Session load(GraphKind kind, const Probe& copy) const;
  std::vector<HostTensor> steps(const Decoder& decoder, std::span<const VerifyCase> cases,
                                std::span<const HostTensor> inputs, CacheMode mode) const;
  std::vector<HostTensor> batch(const Decoder& decoder, std::span<const VerifyCase> cases,
                                std::span<const HostTensor> inputs) const;
  HostTensor tokens(const VerifyCase& item, const HostTensor* input, std::int64_t begin, std::int64_t end) const;
  HostTensor position_ids(const VerifyCase& item, std::int64_t begin, std::int64_t end) const;

  const OnnxRuntime& runtime_;
  const std::filesystem::path& package_;
  const PackageLayout* layout_;
  const ModelConfig& config_;
  bool text_only_;
  SessionOptions options_;
};

}  // namespace q3vl
