#include "config/image_config.h"

#include <fmt/format.h>

#include "base/file.h"
#include "config/refusal.h"
#include "contract/file_names.h"

namespace q3vl {
namespace {

constexpr std::int64_t kMaxPixels = std::int64_t{1} << 40;
constexpr std::int64_t kChannels = 3;
constexpr std::int64_t kBicubic = 3;  // PIL.Image.Resampling.BICUBIC

std::vector<double> channel_values(const JsonObject& root, std::string_view key, double least) {
  std::vector<double> values = root.numbers(key, least, kMostPixelValue);
  if (static_cast<std::int64_t>(values.size()) != kChannels)
    root.fail(fmt::format("{} has {} values, expected {}, one for each channel", root.path_of(key), values.size(),
                          kChannels));
  return values;
}

/// Where a limit of the pixels stands.
struct LimitKey {
  JsonObject home;
  std::string_view key;

  std::int64_t value() const { return home.integer(key, 1, kMaxPixels); }
  std::string path() const { return home.path_of(key); }
};

/// The key of a limit: `own` ("min_pixels") at the top, which overrides the size, or in the size, or `edge` there.
LimitKey limit_key(const JsonObject& root, std::string_view own, std::string_view edge) {
  if (root.has(own) || !root.has("size")) return {root, own};
  const JsonObject size = root.object("size");
  return {size, size.has(own) ? own : edge};
}

void read_limits(const JsonObject& root, ImageConfig& config) {
  const LimitKey least = limit_key(root, "min_pixels", "shortest_edge");
  const LimitKey most = limit_key(root, "max_pixels", "longest_edge");
  config.min_pixels = least.value();
  config.max_pixels = most.value();
  if (config.min_pixels > config.max_pixels)
    root.fail(fmt::format("{} is {} pixels, expected at most {}, which is {}", least.path(), config.min_pixels,
                          most.path(), config.max_pixels));
  const std::int64_t token_side = config.patch_size * config.merge_size;
  if (config.max_pixels < token_side * token_side)
    root.fail(fmt::format("{} is {} pixels, expected at least {}, those of one token ((patch_size × merge_size)²)",
                          most.path(), config.max_pixels, token_side * token_side));
}

/// How the values of a pixel are made, where the settings say so.
void read_values(const JsonObject& root, ImageConfig& config) {
  // An absent key means true: it is Hugging Face's own default.
  for (const std::string_view step : {"do_resize", "do_rescale", "do_normalize"})
    if (root.has(step) && !root.boolean(step))
      unsupported(root, fmt::format("{} is false; only models whose pictures are resized, rescaled and normalised are "
                                    "exported",
                                    root.path_of(step)));
  if (root.has("resample") && root.integer("resample", 0, 5) != kBicubic)
    unsupported(root, fmt::format("{} is {}; only {}, PIL's bicubic filter, is exported", root.path_of("resample"),
                                  root.integer("resample", 0, 5), kBicubic));
  if (root.has("image_mean")) config.image_mean = channel_values(root, "image_mean", -kMostPixelValue);
  if (root.has("image_std")) config.image_std = channel_values(root, "image_std", kLeastPixelScale);
  if (root.has("rescale_factor")) config.rescale_factor = root.number("rescale_factor", kLeastPixelScale, 1);
}

/// Settings, and what opens messages about them.
struct Settings {
  Json document;
  std::string origin;
  std::string path;

  JsonObject object() const { return {document, origin, path}; }
};

/// The settings at `nested` of processor_config.json, then those of `own`; what there is of the two.
std::vector<Settings> all_settings(const std::filesystem::path& folder, const char* nested, const char* own) {
  std::vector<Settings> found;
  if (const auto path = folder / kProcessorFile; path_exists(path)) {
    const Json document = read_json_file(path);
    if (const JsonObject root(document, path.string()); root.has(nested))
      found.push_back({root.object(nested).json(), path.string(), nested});
  }
  if (const auto path = folder / own; path_exists(path)) found.push_back({read_json_file(path), path.string(), ""});
  return found;
}

std::vector<Settings> all_image_settings(const std::filesystem::path& folder) {
  std::vector<Settings> found = all_settings(folder, "image_processor", kPreprocessorFile);
  if (found.empty())
    throw Error(
        ErrorKind::bad_input,
        fmt::format("{}: is missing, and {}; without the image settings no client can prepare a picture",
                    (folder / kPreprocessorFile).string(),
                    path_exists(folder / kProcessorFile) ? fmt::format("{} has no image_processor", kProcessorFile)
                                                         : fmt::format("so is {}", kProcessorFile)));
  return found;
}

}  // namespace

ImageConfig parse_image_config(const JsonObject& root, const VisionConfig& vision) {
  ImageConfig config{};
  config.patch_size = root.integer("patch_size", 1, 1024);
  config.temporal_patch_size = root.integer("temporal_patch_size", 1, 64);
  config.merge_size = root.integer("merge_size", 1, 64);
  const auto expect = [&](std::string_view key, std::int64_t found, std::int64_t expected, std::string_view source) {
    if (found != expected)
      root.fail(fmt::format("{} is {}, but config.json says vision_config.{} = {}; the files do not belong together",
                            root.path_of(key), found, source, expected));
  };
  config.image_mean = channel_values(root, "image_mean", -kMostPixelValue);
  config.image_std = channel_values(root, "image_std", kLeastPixelScale);
  config.rescale_factor = 1.0 / 255.0;
  read_values(root, config);
  expect("patch_size", config.patch_size, vision.patch_size, "patch_size");
  expect("temporal_patch_size", config.temporal_patch_size, vision.temporal_patch_size, "temporal_patch_size");
  expect("merge_size", config.merge_size, vision.spatial_merge_size, "spatial_merge_size");
  read_limits(root, config);
  return config;
}

Json image_settings(const std::filesystem::path& folder) {
  return all_image_settings(folder).front().object().json();
}

ImageConfig read_image_config(const std::filesystem::path& folder, const VisionConfig& vision,
                              std::vector<std::string>* warnings) {
  const std::vector<Settings> found = all_image_settings(folder);
  ImageConfig config = parse_image_config(found.front().object(), vision);
  if (found.size() == 1 || warnings == nullptr) return config;
  bool equal = false;
  try {
    equal = parse_image_config(found.back().object(), vision) == config;
  } catch (const Error&) {  // what does not count may be anything
  }
  if (!equal)
    warnings->push_back(fmt::format("{}: differs from image_processor of {}, which counts, as in Hugging Face",
                                    found.back().origin, kProcessorFile));
  return config;
}

ImageConfig read_video_config(const std::filesystem::path& folder, const ImageConfig& image) {
  ImageConfig config = image;
  const std::vector<Settings> found = all_settings(folder, "video_processor", kVideoPreprocessorFile);
  if (found.empty()) return config;
  const JsonObject root = found.front().object();
  read_values(root, config);
  if (root.has("size") || root.has("min_pixels") || root.has("max_pixels")) read_limits(root, config);
  return config;
}

}  // namespace q3vl
