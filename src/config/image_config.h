// How pictures become patches: preprocessor_config.json, or its newer home inside processor_config.json.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

#include "config/model_config.h"

namespace q3vl {

// Values of a picture are 0 to 255 times rescale_factor: mean and standard deviation lie there too. Nearer to 0 than
// the least scale nothing of a picture would be left in float32.
inline constexpr double kMostPixelValue = 255;
inline constexpr double kLeastPixelScale = 1e-6;

struct ImageConfig {
  std::int64_t patch_size;
  std::int64_t temporal_patch_size;
  std::int64_t merge_size;
  std::int64_t min_pixels;         ///< size.shortest_edge: least height × width after the resize
  std::int64_t max_pixels;         ///< size.longest_edge: most height × width after the resize
  std::vector<double> image_mean;  ///< one a channel
  std::vector<double> image_std;
  double rescale_factor;  ///< multiplies the 8-bit values before mean and std
};

/// The least and the most pixels of what the model sees.
struct PixelLimits {
  std::int64_t min_pixels;
  std::int64_t max_pixels;
};

/// The limits of a clip, height × width × frames, in the video settings of a checkpoint or package:
/// video_preprocessor_config.json, or "video_processor" of processor_config.json. Nothing when there are none.
/// Throws Error(bad_input).
std::optional<PixelLimits> read_video_limits(const std::filesystem::path& folder);

/// Takes the image settings in `root` and holds them against `vision`. Throws Error(bad_input), and Error(unsupported)
/// for pictures that are not resized, rescaled and normalised.
ImageConfig parse_image_config(const JsonObject& root, const VisionConfig& vision);

/// Reads the image settings of a checkpoint and holds them against `vision`. Throws Error(bad_input).
ImageConfig read_image_config(const std::filesystem::path& checkpoint, const VisionConfig& vision);

}  // namespace q3vl
