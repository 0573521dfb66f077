#include "config/image_config.h"

#include <fmt/format.h>

#include "base/file.h"
#include "contract/file_names.h"

namespace q3vl {
namespace {

constexpr std::int64_t kMaxPixels = std::int64_t{1} << 40;

std::vector<double> channel_values(const JsonObject& root, std::string_view key, double least,
                                   const VisionConfig& vision) {
  std::vector<double> values = root.numbers(key, least, kMostPixelValue);
  if (static_cast<std::int64_t>(values.size()) != vision.in_channels)
    root.fail(fmt::format("{} has {} values, expected {}, one a channel", root.path_of(key), values.size(),
                          vision.in_channels));
  return values;
}

/// Where the limits of the pixels stand.
struct LimitKeys {
  JsonObject home;
  std::string_view least, most;
};

LimitKeys limit_keys(const JsonObject& root) {
  if (root.has("size")) return {root.object("size"), "shortest_edge", "longest_edge"};
  return {root, "min_pixels", "max_pixels"};  // the spelling of older files
}

PixelLimits read_limits(const JsonObject& root, const LimitKeys& keys) {
  const auto& [home, least, most] = keys;
  const PixelLimits limits{home.integer(least, 1, kMaxPixels), home.integer(most, 1, kMaxPixels)};
  if (limits.min_pixels > limits.max_pixels)
    root.fail(fmt::format("{} is {} pixels, expected at most {}, which is {}", home.path_of(least), limits.min_pixels,
                          home.path_of(most), limits.max_pixels));
  return limits;
}

}  // namespace

ImageConfig parse_image_config(const JsonObject& root, const VisionConfig& vision) {
  // An absent key means true: it is Hugging Face's own default.
  for (const std::string_view step : {"do_resize", "do_rescale", "do_normalize"})
    if (root.has(step) && !root.boolean(step))
      throw Error(ErrorKind::unsupported,
                  fmt::format("{}: {} is false; only models whose pictures are resized, rescaled and normalised are "
                              "exported",
                              root.origin(), root.path_of(step)));
  ImageConfig config{};
  config.patch_size = root.integer("patch_size", 1, 1024);
  config.temporal_patch_size = root.integer("temporal_patch_size", 1, 64);
  config.merge_size = root.integer("merge_size", 1, 64);
  const LimitKeys keys = limit_keys(root);
  const PixelLimits limits = read_limits(root, keys);
  config.min_pixels = limits.min_pixels;
  config.max_pixels = limits.max_pixels;
  config.image_mean = channel_values(root, "image_mean", -kMostPixelValue, vision);
  config.image_std = channel_values(root, "image_std", kLeastPixelScale, vision);
  config.rescale_factor = root.has("rescale_factor") ? root.number("rescale_factor", kLeastPixelScale, 1) : 1.0 / 255.0;

  const auto expect = [&](std::string_view key, std::int64_t found, std::int64_t expected, std::string_view source) {
    if (found != expected)
      root.fail(fmt::format("{} is {}, but config.json says vision_config.{} = {}; the files do not belong together",
                            root.path_of(key), found, source, expected));
  };
  expect("patch_size", config.patch_size, vision.patch_size, "patch_size");
  expect("temporal_patch_size", config.temporal_patch_size, vision.temporal_patch_size, "temporal_patch_size");
  expect("merge_size", config.merge_size, vision.spatial_merge_size, "spatial_merge_size");
  const std::int64_t token_side = config.patch_size * config.merge_size;
  if (config.max_pixels < token_side * token_side)
    root.fail(fmt::format("{} is {} pixels, expected at least {}, those of one token ((patch_size × merge_size)²)",
                          keys.home.path_of(keys.most), config.max_pixels, token_side * token_side));
  return config;
}

ImageConfig read_image_config(const std::filesystem::path& checkpoint, const VisionConfig& vision) {
  const auto own = checkpoint / kPreprocessorFile;
  if (path_exists(own)) {
    const Json document = read_json_file(own);
    return parse_image_config(JsonObject(document, own.string()), vision);
  }
  const auto nested = checkpoint / kProcessorFile;
  if (!path_exists(nested))
    throw Error(ErrorKind::bad_input, fmt::format("{}: is missing, and so is processor_config.json; without the image "
                                                  "settings no client can prepare a picture",
                                                  own.string()));
  const Json document = read_json_file(nested);
  return parse_image_config(JsonObject(document, nested.string()).object("image_processor"), vision);
}

std::optional<PixelLimits> read_video_limits(const std::filesystem::path& folder) {
  const auto limits_in = [](const JsonObject& settings) -> std::optional<PixelLimits> {
    if (!settings.has("size") && !settings.has("min_pixels")) return std::nullopt;
    return read_limits(settings, limit_keys(settings));
  };
  if (const auto own = folder / kVideoPreprocessorFile; path_exists(own)) {
    const Json document = read_json_file(own);
    return limits_in(JsonObject(document, own.string()));
  }
  const auto nested = folder / kProcessorFile;
  if (!path_exists(nested)) return std::nullopt;
  const Json document = read_json_file(nested);
  const JsonObject root(document, nested.string());
  return root.has("video_processor") ? limits_in(root.object("video_processor")) : std::nullopt;
}

}  // namespace q3vl
