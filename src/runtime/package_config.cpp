#include "runtime/package_config.h"

#include <fmt/format.h>

#include <limits>

#include "base/file.h"
#include "base/json.h"
#include "contract/file_names.h"

namespace q3vl {
namespace {

constexpr std::int64_t kMost = std::numeric_limits<std::int32_t>::max();

/// A cache's name pattern, which must say where the layer's number goes.
std::string layer_pattern(const JsonObject& names, std::string_view key) {
  std::string pattern = names.string(key);
  if (pattern.find("%d") == std::string::npos)
    names.fail(fmt::format("{} is \"{}\", expected a name with %d for the layer", names.path_of(key), pattern));
  return pattern;
}

/// A file that the package names; it lies inside.
std::filesystem::path file_of(const JsonObject& object, std::string_view key, const std::filesystem::path& package) {
  const std::string name = object.string(key);
  if (!lies_inside(name))
    object.fail(fmt::format("{} is \"{}\", expected a path inside the package", object.path_of(key), name));
  return package / name;
}

DecoderConfig read_decoder(const JsonObject& decoder, const std::filesystem::path& package,
                           const std::string& tokens_key) {
  const JsonObject inputs = decoder.object("inputs");
  const JsonObject outputs = decoder.object("outputs");
  return {.file = file_of(decoder, "filename", package),
          .hidden_size = decoder.integer("hidden_size", 1, kMost),
          .head_size = decoder.integer("head_size", 1, kMost),
          .num_hidden_layers = decoder.integer("num_hidden_layers", 1, kMost),
          .num_key_value_heads = decoder.integer("num_key_value_heads", 1, kMost),
          .tokens = inputs.string(tokens_key),
          .attention_mask = inputs.string("attention_mask"),
          .position_ids = inputs.string("position_ids"),
          .past_key = layer_pattern(inputs, "past_key_names"),
          .past_value = layer_pattern(inputs, "past_value_names"),
          .logits = outputs.string("logits"),
          .present_key = layer_pattern(outputs, "present_key_names"),
          .present_value = layer_pattern(outputs, "present_value_names")};
}

/// The attributes of the transform of `type` in an image processor's file.
JsonObject transform_attrs(const JsonObject& processor, const std::string& type) {
  const auto transforms = processor.json().find("transforms");
  if (transforms == processor.json().end() || !transforms->is_array())
    processor.fail("processor.transforms is missing or no array");
  for (const Json& item : *transforms) {
    const JsonObject operation = JsonObject(item, processor.origin(), "processor.transforms").object("operation");
    if (operation.string("type") == type) return operation.object("attrs");
  }
  processor.fail(fmt::format("processor.transforms has no {}", type));
}

ImageConfig read_vision_processor(const std::filesystem::path& path) {
  const Json document = read_json_file(path);
  const JsonObject processor = JsonObject(document, path.string()).object("processor");
  const JsonObject patches = transform_attrs(processor, "PatchImage");
  const JsonObject resize = transform_attrs(processor, "Resize");
  const JsonObject normalize = transform_attrs(processor, "Normalize");
  return {.patch_size = patches.integer("patch_size", 1, kMost),
          .temporal_patch_size = patches.integer("temporal_patch_size", 1, kMost),
          .merge_size = patches.integer("merge_size", 1, kMost),
          .min_pixels = resize.integer("min_pixels", 1, kMost),
          .max_pixels = resize.integer("max_pixels", 1, kMost),
          .image_mean = normalize.numbers("mean", -kMostPixelValue, kMostPixelValue),
          .image_std = normalize.numbers("std", kLeastPixelScale, kMostPixelValue),
          .rescale_factor = transform_attrs(processor, "Rescale").number("rescale_factor", kLeastPixelScale, 1)};
}

SamplingSettings read_sampling(const JsonObject& search) {
  SamplingSettings settings;
  if (search.has("do_sample")) settings.do_sample = search.boolean("do_sample");
  if (search.has("temperature")) settings.temperature = search.number("temperature", 0, 1e6);
  if (search.has("top_k")) settings.top_k = search.integer("top_k", 0, kMost);
  if (search.has("top_p")) settings.top_p = search.number("top_p", 0, 1);
  if (search.has("repetition_penalty")) settings.repetition_penalty = search.number("repetition_penalty", 1e-3, 1e3);
  if (settings.temperature == 0) settings.do_sample = false;
  return settings;
}

PictureConfig read_pictures(const JsonObject& model, const std::filesystem::path& package) {
  const JsonObject vision = model.object("vision");
  const JsonObject embedding = model.object("embedding");
  PictureConfig config{.vision_file = file_of(vision, "filename", package),
                       .pixel_values = vision.object("inputs").string("pixel_values"),
                       .image_grid_thw = vision.object("inputs").string("image_grid_thw"),
                       .vision_output = vision.object("outputs").string("image_features"),
                       .embedding_file = file_of(embedding, "filename", package),
                       .input_ids = embedding.object("inputs").string("input_ids"),
                       .image_features = embedding.object("inputs").string("image_features"),
                       .inputs_embeds = embedding.object("outputs").string("inputs_embeds"),
                       .tokens = PromptTokens{.image_token_id = model.integer("image_token_id", 0, kMost),
                                              .video_token_id = model.integer("video_token_id", 0, kMost),
                                              .vision_start_token_id = model.integer("vision_start_token_id", 0, kMost),
                                              .spatial_merge_size = vision.integer("spatial_merge_size", 1, kMost)},
                       .image = read_vision_processor(file_of(vision, "config_filename", package)),
                       .video = {}};
  config.video = read_video_config(package, config.image);
  return config;
}

std::vector<std::int64_t> read_eos_token_ids(const JsonObject& model) {
  if (model.has("eos_token_id") && model.json().at("eos_token_id").is_array())
    return model.integers("eos_token_id", 0, kMost);
  return {model.integer("eos_token_id", 0, kMost)};
}

}  // namespace

PackageConfig read_package_config(const std::filesystem::path& package) {
  const std::filesystem::path path = package / kGenaiConfigFile;
  const Json document = read_json_file(path);
  const JsonObject root(document, path.string());
  const JsonObject model = root.object("model");
  const JsonObject search = root.object("search");
  const std::string type = model.string("type");
  if (type != "qwen3_vl" && type != "qwen3")
    throw Error(ErrorKind::unsupported,
                fmt::format("{}: model.type is \"{}\", expected qwen3_vl or qwen3", path.string(), type));
  const bool pictures = type == "qwen3_vl";
  return {.eos_token_ids = read_eos_token_ids(model),
          .vocab_size = model.integer("vocab_size", 1, kMost),
          .max_length = search.integer("max_length", 1, kMost),
          .sampling = read_sampling(search),
          .past_present_share_buffer = search.boolean("past_present_share_buffer"),
          .decoder = read_decoder(model.object("decoder"), package, pictures ? "inputs_embeds" : "input_ids"),
          .pictures = pictures ? std::optional(read_pictures(model, package)) : std::nullopt};
}

}  // namespace q3vl
