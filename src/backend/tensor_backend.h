// What computes with LibTorch, behind a face that does not: the library qwen3vl-export-torch.so is opened when a
// command first runs the reference (base/companion_file.h says where it lies).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/host_tensor.h"
#include "config/model_config.h"
#include "prompt/prompt.h"

namespace q3vl {

/// A prompt for the reference, and the places in it that are worth comparing.
struct ReferenceCase {
  Prompt prompt;
  std::vector<std::int64_t> positions;  ///< increasing indexes into prompt.input_ids
};

/// Gives a weight of a Hugging Face name in float32, in its stored shape.
using ReferenceWeights = std::function<HostTensor(const std::string& name)>;

struct ReferenceRequest {
  const ModelConfig* config;
  const std::vector<ReferenceCase>* cases;
  ReferenceWeights weights;
  ReferenceWeights embedding;  ///< gives the rows that tokens are looked up in; a tied head takes them from `weights`
  int threads;
  std::function<void(std::int64_t done, std::int64_t total)> progress;  ///< in layers of both towers
};

/// What the reference computes for one case; P is the number of its positions, L of its tokens.
struct ReferenceResult {
  HostTensor features;             ///< [picture tokens, (1+D)·H]: merged features and DeepStack levels side by side
  HostTensor inputs_embeds;        ///< [L, H]: token embeddings, features in the placeholders' places
  std::vector<HostTensor> hidden;  ///< a layer each: [P, H] after it and its DeepStack level
  std::vector<HostTensor> keys;    ///< a layer each: [kv_heads, P, head_dim], as the cache holds them
  std::vector<HostTensor> values;
  HostTensor logits;  ///< [P, vocab_size]
};

/// Calibration prompts on their way through the language model: what is needed to go on behind the finished layers.
struct CalibrationState {
  std::int64_t layers_done = 0;
  std::vector<HostTensor> hidden;                  ///< a prompt each: [L, H] float32, the input of the next layer
  std::vector<std::vector<HostTensor>> deepstack;  ///< a prompt each: [picture tokens, H] float32 a level; let go
                                                   ///< when the last level has been added
};

/// What was found about the inputs of a matrix, K wide.
struct SiteFindings {
  std::string weight;                   ///< the first that reads the input, as the reference observes it
  std::vector<float> second_moment;     ///< [K]: the mean of x² over all tokens
  std::vector<std::uint16_t> feedback;  ///< float16 [K·(K−1)/2]: the triangle R, row behind row; empty: not asked for
};

struct CalibrationRequest {
  const ModelConfig* config;
  const std::vector<Prompt>* prompts;
  ReferenceWeights weights;
  bool feedback;   ///< GPTQ feedback factors, too, but for the head
  double damping;  ///< of their Hessians, relative to the mean of the diagonal
  int threads;
  CalibrationState* state;                         ///< empty: from the start; kept up to date
  std::function<void(const SiteFindings&)> found;  ///< layer by layer, the head last
  std::function<void()> advanced;                  ///< `state` has changed: the first layer can begin, or one is done
  std::function<void(const std::string&)> warning;
};

class TensorBackend {
 public:
  virtual ~TensorBackend() = default;

  /// The forward pass of Qwen3-VL in float32 for every case. A layer's weights are asked for once, whatever the number
  /// of cases, and let go before the next. Without pictures in any case nothing of the visual tower is asked for.
  virtual std::vector<ReferenceResult> run_reference(const ReferenceRequest& request) const = 0;

  /// The visual tower in float32 over all pictures: [Σ t·h·w / merge², (1+D)·H] in their order, merged features and
  /// DeepStack levels side by side. At least one picture.
  virtual HostTensor image_features(const ModelConfig& config, const std::vector<Patches>& pictures,
                                    const ReferenceWeights& weights, int threads) const = 0;

  /// Runs prompts through the language model in float32 and gathers what the inputs of its matrices look like. A layer
  /// is run once over all prompts; its weights and Hessians are in memory while it is. Throws Error(bad_input) when
  /// inputs are not finite, or a Hessian cannot be factored however it is damped, and Error(interrupted).
  virtual void run_calibration(const CalibrationRequest& request) const = 0;
};

/// The backend; opened at the first call. Throws Error(internal) when the library is missing or cannot be opened.
const TensorBackend& tensor_backend();

/// The name of the library's function that gives its TensorBackend.
inline constexpr const char* kTensorBackendEntry = "q3vl_tensor_backend";

}  // namespace q3vl
