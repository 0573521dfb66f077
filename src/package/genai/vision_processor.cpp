#include "package/genai/vision_processor.h"

#include <cmath>

namespace q3vl {
namespace {

OrderedJson transform(const char* name, const char* type, OrderedJson attrs) {
  OrderedJson operation = {{"name", name}, {"type", type}};
  if (!attrs.empty()) operation["attrs"] = std::move(attrs);
  return {{"operation", operation}};
}

}  // namespace

OrderedJson vision_processor(const ImageConfig& image, std::int64_t max_pixels) {
  // Smart resize takes the size from each picture; the fixed one must be there all the same.
  const std::int64_t unit = image.patch_size * image.merge_size;
  const std::int64_t side =
      std::max<std::int64_t>(1, static_cast<std::int64_t>(std::sqrt(static_cast<double>(max_pixels))) / unit) * unit;
  OrderedJson transforms = OrderedJson::array();
  transforms.push_back(transform("decode_image", "DecodeImage", {{"color_space", "RGB"}}));
  // ConvertRGB swaps the channels and Normalize's qwen3_vl swaps them back: both or neither.
  transforms.push_back(transform("convert_to_rgb", "ConvertRGB", OrderedJson::object()));
  transforms.push_back(transform("resize", "Resize",
                                 {{"width", side},
                                  {"height", side},
                                  {"interpolation", "CUBIC"},
                                  {"smart_resize", 1},
                                  {"min_pixels", image.min_pixels},
                                  {"max_pixels", max_pixels},
                                  {"patch_size", image.patch_size},
                                  {"merge_size", image.merge_size}}));
  transforms.push_back(transform("rescale", "Rescale", {{"rescale_factor", image.rescale_factor}}));
  transforms.push_back(
      transform("normalize", "Normalize", {{"mean", image.image_mean}, {"std", image.image_std}, {"qwen3_vl", 1}}));
  transforms.push_back(transform("patch_image", "PatchImage",
                                 {{"patch_size", image.patch_size},
                                  {"temporal_patch_size", image.temporal_patch_size},
                                  {"merge_size", image.merge_size}}));
  return {{"processor", {{"name", "qwen3_vl_image_processor"}, {"transforms", transforms}}}};
}

}  // namespace q3vl
