// The file of a calibration: what the inputs of the language model's matrices look like, for quantisers.
//
// A safetensors file with the tensors "<site>.second_moment" (F32 [K], the mean of x² of each input channel) and, where
// they were asked for, "<site>.feedback" (F16 [K·(K−1)/2]): R[i][j] = U[i][j] / U[i][i] for j > i, row behind row, of
// the upper triangular U with (H + damping·mean(diag H)·I)⁻¹ = Uᵀ·U, where H is the mean of x·xᵀ.
//
//   const Calibration calibration = Calibration::open("calibration.safetensors");
//   calibration.expect_made_from(checkpoint);
//   const auto moments = calibration.second_moment("model.language_model.layers.0.mlp.up_proj.weight");
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "calibration/calibration_site.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/safetensors_header.h"
#include "config/model_config.h"

namespace q3vl {

struct CalibrationMetadata {
  std::string checkpoint;  ///< as checkpoint_identity says
  std::string data;        ///< what was run through the model, with a fingerprint
  std::int64_t tokens;     ///< that the means are taken over
  double damping;          ///< of the feedback factors
};

/// The damping that feedback factors are made with.
inline constexpr double kCalibrationDamping = 0.01;

class Calibration {
 public:
  /// Reads the header. Throws Error(bad_input) for a file that is damaged, cut short or no calibration.
  static Calibration open(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return file_.shards().front().path(); }
  const CalibrationMetadata& metadata() const { return metadata_; }
  bool has_feedback() const { return has_feedback_; }

  /// The second moments [K] of the inputs of `weight`, finite and not negative; nothing for a weight that was not
  /// looked at. Reads the file. Throws Error(bad_input).
  std::optional<std::vector<float>> second_moment(const std::string& weight) const;

  /// The packed triangle R of `weight` as float16 bits; nothing where the file has none. Reads the file. Throws
  /// Error(bad_input).
  std::optional<std::vector<std::uint16_t>> feedback(const std::string& weight) const;

  /// Throws Error(bad_input), naming both, when the calibration was made from another checkpoint. Afterwards every
  /// matrix of the language model is known to have second moments for each of its columns, and feedback factors, but
  /// for the head, if has_feedback().
  void expect_made_from(const Checkpoint& checkpoint) const;

 private:
  Calibration(Checkpoint file, CalibrationMetadata metadata) : file_(std::move(file)), metadata_(std::move(metadata)) {}

  /// The tensor of the site of `weight`, or null.
  const TensorInfo* find(const std::string& weight, const char* kind) const;

  Checkpoint file_;
  CalibrationMetadata metadata_;
  bool has_feedback_ = false;
};

/// What tells a checkpoint from another: the language model's dimensions, and each shard's name and size.
std::string checkpoint_identity(const TextConfig& config, const Checkpoint& checkpoint);

/// The tensors of a calibration file, in the order of their bytes.
std::vector<SafetensorsEntry> calibration_entries(const std::vector<CalibrationSite>& sites);

/// The names of a site's tensors.
std::string second_moment_name(const std::string& site);
std::string feedback_name(const std::string& site);

/// What stands before the tensors' bytes.
std::string calibration_header(const std::vector<SafetensorsEntry>& entries, const CalibrationMetadata& metadata);

}  // namespace q3vl
