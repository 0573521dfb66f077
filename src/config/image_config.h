// How pictures become patches: processor_config.json, or the older preprocessor_config.json.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
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

  bool operator==(const ImageConfig&) const = default;
};

/// Takes the image settings in `root` and holds them against `vision`. Throws Error(bad_input), and Error(unsupported)
/// for pictures that are not resized by PIL's bicubic filter, rescaled and normalised.
ImageConfig parse_image_config(const JsonObject& root, const VisionConfig& vision);

/// The image settings of a checkpoint or package as they are written: "image_processor" of processor_config.json, or
/// else preprocessor_config.json, as transformers 5 takes them. Throws Error(bad_input) if there are none.
Json image_settings(const std::filesystem::path& folder);

/// Reads the image settings and holds them against `vision`. `warnings` gets a sentence where two files that have them
/// differ in what this program reads. Throws as image_settings() and parse_image_config() do.
ImageConfig read_image_config(const std::filesystem::path& folder, const VisionConfig& vision,
                              std::vector<std::string>* warnings = nullptr);

/// `image` with what the video settings of a checkpoint or package say otherwise: "video_processor" of
/// processor_config.json, or else video_preprocessor_config.json. Its pixels are height × width × frames. Throws
/// Error(bad_input).
ImageConfig read_video_config(const std::filesystem::path& folder, const ImageConfig& image);

}  // namespace q3vl
