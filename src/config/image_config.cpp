#include "config/image_config.h"

#include <fmt/format.h>

namespace q3vl {
namespace {

constexpr std::int64_t kMaxPixels = std::int64_t{1} << 40;

ImageConfig parse(const JsonObject& root, const VisionConfig& vision) {
  ImageConfig config{};
  config.patch_size = root.integer("patch_size", 1, 1024);
  config.temporal_patch_size = root.integer("temporal_patch_size", 1, 64);
  config.merge_size = root.integer("merge_size", 1, 64);
  if (root.has("size")) {
    const JsonObject size = root.object("size");
    config.min_pixels = size.integer("shortest_edge", 1, kMaxPixels);
    config.max_pixels = size.integer("longest_edge", 1, kMaxPixels);
  } else {  // the spelling of older files
    config.min_pixels = root.integer("min_pixels", 1, kMaxPixels);
    config.max_pixels = root.integer("max_pixels", 1, kMaxPixels);
  }
  if (config.min_pixels > config.max_pixels)
    root.fail(fmt::format("the smallest image size, {} pixels, is above the largest, {}", config.min_pixels,
                          config.max_pixels));
  config.image_mean = root.numbers("image_mean");
  config.image_std = root.numbers("image_std");
  config.rescale_factor = root.has("rescale_factor") ? root.number("rescale_factor") : 1.0 / 255.0;
  for (const auto& values : {config.image_mean, config.image_std})
    if (static_cast<std::int64_t>(values.size()) != vision.in_channels)
      root.fail(fmt::format("image_mean and image_std need {} values, one a channel, but one has {}",
                            vision.in_channels, values.size()));

  const auto expect = [&](std::string_view key, std::int64_t found, std::int64_t expected, std::string_view source) {
    if (found != expected)
      root.fail(fmt::format("{} is {}, but config.json says vision_config.{} = {}; the files do not belong together",
                            root.path_of(key), found, source, expected));
  };
  expect("patch_size", config.patch_size, vision.patch_size, "patch_size");
  expect("temporal_patch_size", config.temporal_patch_size, vision.temporal_patch_size, "temporal_patch_size");
  expect("merge_size", config.merge_size, vision.spatial_merge_size, "spatial_merge_size");
  return config;
}

}  // namespace

ImageConfig read_image_config(const std::filesystem::path& checkpoint, const VisionConfig& vision) {
  const auto own = checkpoint / "preprocessor_config.json";
  if (std::filesystem::exists(own)) {
    const Json document = read_json_file(own);
    return parse(JsonObject(document, own.string()), vision);
  }
  const auto nested = checkpoint / "processor_config.json";
  if (!std::filesystem::exists(nested))
    throw Error(ErrorKind::bad_input, fmt::format("{}: is missing, and so is processor_config.json; without the image "
                                                  "settings no client can prepare a picture",
                                                  own.string()));
  const Json document = read_json_file(nested);
  return parse(JsonObject(document, nested.string()).object("image_processor"), vision);
}

}  // namespace q3vl
