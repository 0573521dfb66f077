#include "package/transformers_js/files.h"

#include <fmt/format.h>

#include "base/file.h"
#include "chat/template_source.h"
#include "contract/file_names.h"

namespace q3vl {
namespace {

namespace fs = std::filesystem;

/// A document that must be an object.
Json read_object_file(const fs::path& path, const JsonLimits& limits = kConfigJson) {
  Json document = read_json_file(path, limits);
  JsonObject(document, path.string());
  return document;
}

void set_if_absent(Json& object, const char* key, Json value) {
  if (!object.contains(key) || object.at(key).is_null()) object[key] = std::move(value);
}

}  // namespace

Json transformers_js_config(const fs::path& checkpoint, const GenerationConfig& generation,
                            const BrowserDataFiles& data_files) {
  Json document = read_object_file(checkpoint / kConfigFile);
  set_if_absent(document, "architectures", Json::array({"Qwen3VLForConditionalGeneration"}));
  set_if_absent(document, "eos_token_id", generation.eos_token_ids);
  set_if_absent(document.at("text_config"), "model_type", "qwen3_vl_text");
  Json settings = {{"dtype", "fp32"}};  // the files without a suffix, whatever is in them
  if (!data_files.empty()) settings["use_external_data_format"] = data_files;
  document["transformers.js_config"] = std::move(settings);
  return document;
}

Json transformers_js_preprocessor(const fs::path& checkpoint, const ImageConfig& image, std::int64_t max_pixels) {
  Json document = image_settings(checkpoint);
  set_if_absent(document, "image_processor_type", "Qwen2VLImageProcessorFast");
  document["processor_class"] = "Qwen3VLProcessor";
  for (const char* step : {"do_convert_rgb", "do_normalize", "do_rescale", "do_resize"}) document[step] = true;
  document["resample"] = 3;  // bicubic
  document["rescale_factor"] = image.rescale_factor;
  document["image_mean"] = image.image_mean;
  document["image_std"] = image.image_std;
  document["patch_size"] = image.patch_size;
  document["temporal_patch_size"] = image.temporal_patch_size;
  document["merge_size"] = image.merge_size;
  document["size"] = {{"shortest_edge", image.min_pixels}, {"longest_edge", max_pixels}};
  // The spelling of older files, which would win over the size.
  document.erase("min_pixels");
  document.erase("max_pixels");
  return document;
}

Json transformers_js_tokenizer_config(const fs::path& checkpoint, const std::string& chat_template) {
  Json document = read_object_file(checkpoint / kTokenizerConfigFile);
  document[kTemplateKey] = chat_template;
  return document;
}

}  // namespace q3vl
