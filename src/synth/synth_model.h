// What a synthetic model is: its dimensions, its special tokens and the list of its tensors.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/data_type.h"
#include "base/shape.h"
#include "config/model_config.h"

namespace q3vl {

/// Qwen's added tokens, in the order of their ids; the vision tokens are among them.
extern const std::array<std::string_view, 26> kQwenAddedTokens;

/// How many of them, from the first on, are special: skipped when an answer is decoded.
inline constexpr std::size_t kQwenSpecialTokens = 14;

struct SynthModel {
  TextConfig text;
  VisionConfig vision;
  std::int64_t first_added_token;  ///< the id of kQwenAddedTokens[0]; the others follow it

  /// The id of an added token: token_id("<|image_pad|>").
  std::int64_t token_id(std::string_view added_token) const;
};

/// Names of the presets: "tiny" and the published sizes "2b", "4b", "8b", "32b".
extern const std::array<std::string_view, 5> kSynthPresets;

/// The dimensions of Qwen3-VL-<preset>-Instruct, or a small model for "tiny". Throws Error(usage) for another name.
SynthModel synth_preset(std::string_view preset);

/// How the weights are distributed.
enum class Distribution {
  normal,
  /// Matrices are drawn from Student's t with four degrees of freedom, of the same standard deviation; norms and biases
  /// stay normal.
  heavy_tailed,
  /// Normal, but in the language model's layers, as in trained ones, some weights are larger: the matrices that read
  /// the residual stream have ten times larger weights in one input channel of a hundred, the same ones in the whole
  /// layer, and all matrices four times larger ones in one row of two hundred.
  outlier_channels
};

/// One tensor, and how its random values are drawn: about normal, with this mean and standard deviation, unless told
/// otherwise.
struct SynthTensor {
  std::string name;
  DataType type;
  Shape shape;
  float mean;
  float standard_deviation;
  std::string stream;            ///< names the sequence of random numbers; tensors of one stream and spread are equal
  bool heavy_tails = false;      ///< without outliers
  bool outlier_rows = false;     ///< of a matrix
  std::string outlier_channels;  ///< of a matrix: names the choice of the columns; empty: there are none
};

/// Every tensor of `model` in the order of Hugging Face's state dict, each in `type`.
std::vector<SynthTensor> synthetic_tensors(const SynthModel& model, DataType type,
                                           Distribution distribution = Distribution::normal);

}  // namespace q3vl
