// A package at work: pictures and token ids in, token ids out, by the steps that onnxruntime-genai takes.
//
//   const Pipeline pipeline(OnnxRuntime(), "./out");
//   const Generation answer = pipeline.generate({.input_ids = ids, .pictures = {{patches}}});
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "prompt/prompt.h"
#include "runtime/decoder.h"
#include "runtime/package_config.h"
#include "runtime/session.h"

namespace q3vl {

/// How genai_config.json says that keys and values are kept.
CacheMode default_cache(const PackageConfig& config);

struct GenerateOptions {
  std::int64_t max_new_tokens = 128;
  std::optional<CacheMode> cache = {};  ///< what genai_config.json says, unless given
  /// The next token, by the logits [vocab] and all tokens so far; the likeliest one, unless given.
  std::function<std::int64_t(std::span<const float> logits, std::span<const std::int64_t> past)> choose = {};
  std::function<void(std::int64_t token)> on_token = {};  ///< is told of each new token at once
  bool keep_logits = true;                                ///< whether Generation has them
};

struct Generation {
  std::vector<std::int64_t> tokens;        ///< the new ones; an end-of-sequence token is the last
  std::vector<std::vector<float>> logits;  ///< [vocab] that each token was chosen by
};

class Pipeline {
 public:
  /// Loads the configs and graphs of a package folder. Throws Error(bad_input) or Error(unsupported).
  Pipeline(const OnnxRuntime& runtime, const std::filesystem::path& package, const SessionOptions& options = {});

  /// The same of a package whose configs have been read.
  Pipeline(const OnnxRuntime& runtime, PackageConfig config, const SessionOptions& options = {});

  /// Of graphs that are loaded already: those of a package with this config, in a text-only one the decoder alone.
  Pipeline(PackageConfig config, Session decoder, std::optional<Session> vision, std::optional<Session> embedding);

  const PackageConfig& config() const { return config_; }
  bool text_only() const { return !config_.pictures; }

  /// All pictures in one call: [Σ t·h·w / merge², (1+D)·H], in their order; [0, (1+D)·H] without pictures.
  /// Throws Error(usage) in a text-only package, as embed() does.
  HostTensor encode_images(std::span<const Patches> pictures) const;

  /// input_ids [B, S] int64 and features as of encode_images: inputs_embeds [B, S, (1+D)·H].
  HostTensor embed(const HostTensor& input_ids, const HostTensor& image_features) const;

  /// The text decoder, with the sizes and names of genai_config.json.
  const Decoder& decoder() const { return decoder_; }

  /// Decodes one prompt until an end-of-sequence token or options.max_new_tokens. In shared mode
  /// prompt and answer must fit into search.max_length tokens. Throws Error(bad_input) when pictures and
  /// placeholders do not match.
  Generation generate(const Prompt& prompt, const GenerateOptions& options = {}) const;

  /// The same with the features of the prompt's pictures, as of encode_images, given.
  Generation generate(const Prompt& prompt, const HostTensor& image_features, const GenerateOptions& options) const;

 private:
  PackageConfig config_;
  std::optional<Session> vision_;
  std::optional<Session> embedding_;
  Decoder decoder_;
};

}  // namespace q3vl
