// Writes a Qwen3-VL checkpoint with random weights in the layout of the hub: for tests, demonstrations and measurements
// where the published weights are out of reach.
//
//   SynthOptions options{.model = synth_preset("4b")};
//   options.model.text.tie_word_embeddings = false;
//   write_synthetic_checkpoint(options, "out/4b");
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <vector>

#include "synth/synth_files.h"
#include "synth/synth_model.h"

namespace q3vl {

/// Where the image settings stand.
enum class ImageSettings {
  preprocessor_config,  ///< preprocessor_config.json and video_preprocessor_config.json: the published checkpoints
  processor_config      ///< nested in processor_config.json: what newer transformers save
};

struct SynthOptions {
  SynthModel model;
  DataType type = DataType::bfloat16;
  RopeDialect rope_dialect = RopeDialect::rope_scaling;
  ImageSettings image_settings = ImageSettings::preprocessor_config;
  std::uint64_t max_shard_bytes = 5'000'000'000;  ///< of tensor data; a larger tensor has a shard to itself
  std::uint64_t seed = 0;
  Distribution distribution = Distribution::normal;
  bool sparse = false;  ///< real headers, but the data are holes that read as zeros and take no room
  int threads = 1;

  /// Called with the list of tensors before it is written, to make an odd checkpoint: change a type or a shape, remove
  /// a tensor, add one.
  std::function<void(std::vector<SynthTensor>&)> edit_tensors = nullptr;
};

struct SynthReport {
  std::size_t tensors;
  std::size_t shards;
  std::uint64_t parameters;
  std::uint64_t bytes;  ///< of tensor data
};

/// Writes the checkpoint into `folder`, which must be empty or not exist. The bytes depend on the options alone, except
/// for `threads`, on which nothing depends. A failure leaves nothing behind. Throws Error(output) and Error(usage).
SynthReport write_synthetic_checkpoint(const SynthOptions& options, const std::filesystem::path& folder);

}  // namespace q3vl
