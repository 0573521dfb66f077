// The documents of config.json, generation_config.json and preprocessor_config.json, as members of one object. What is
// accepted keeps the promises of the headers in src/config/, and sizes that are made of it do not overflow.
#include <numeric>

#include "base/json.h"
#include "config/generation_config.h"
#include "config/image_config.h"
#include "config/model_config.h"
#include "fuzz.h"

namespace {

using q3vl::Json;
using q3vl::fuzz::accepts;
using q3vl::fuzz::expect;

void expect_sound(const q3vl::ModelConfig& model) {
  const q3vl::TextConfig& text = model.text;
  expect(text.hidden_size > 0 && text.vocab_size > 0 && text.num_hidden_layers > 0, "sizes are positive");
  expect(text.num_attention_heads % text.num_key_value_heads == 0, "heads come in whole groups");
  expect(text.head_dim % 8 == 0, "head_dim is a multiple of 8");
  expect(text.rope_theta > 1 && text.rms_norm_eps > 0, "theta and epsilon");
  expect(!text.head_weight().empty(), "the output layer has a name");
  expect(model.vision.has_value() == model.image_token_id.has_value(), "picture tokens come with a visual tower");
  for (const std::int64_t id : model.eos_token_ids)
    expect(id >= 0 && id < text.vocab_size, "ids are of the vocabulary");
  expect(model.features_width() >= text.hidden_size, "features are as wide as a token or wider");
  if (!model.vision) return;
  const q3vl::VisionConfig& vision = *model.vision;
  expect(std::accumulate(text.mrope_section.begin(), text.mrope_section.end(), std::int64_t{0}) == text.head_dim / 2,
         "the axes share the frequencies");
  expect(vision.head_dim() % 4 == 0 && vision.head_dim() * vision.num_heads == vision.hidden_size,
         "heads of the tower");
  expect(vision.position_table_side() * vision.position_table_side() == vision.num_position_embeddings,
         "the table of positions is a square");
  expect(vision.merged_hidden_size() >= vision.hidden_size && vision.patch_values() > 0, "patches have values");
  for (const std::int64_t block : vision.deepstack_visual_indexes)
    expect(block >= 0 && block < vision.depth, "DeepStack taps blocks that are there");
}

void expect_sound(const q3vl::GenerationConfig& generation, const q3vl::ModelConfig& model) {
  expect(!generation.eos_token_ids.empty(), "an answer ends");
  for (const std::int64_t id : {generation.bos_token_id, generation.pad_token_id, generation.eos_token_ids.back()})
    expect(id >= 0 && id < model.text.vocab_size, "ids are of the vocabulary");
}

void expect_sound(const q3vl::ImageConfig& image, const q3vl::VisionConfig& vision) {
  expect(image.patch_size == vision.patch_size && image.merge_size == vision.spatial_merge_size, "sizes agree");
  expect(image.min_pixels >= 1 && image.min_pixels <= image.max_pixels, "limits are in order");
  for (const double deviation : image.image_std) expect(deviation > 0, "deviations are positive");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Json documents;
  if (!accepts([&] { documents = q3vl::parse_json(q3vl::fuzz::text(data, size), "input"); }) || !documents.is_object())
    return 0;
  q3vl::ModelConfig model;
  if (!accepts([&] { model = q3vl::parse_model_config(documents["config.json"], "config.json"); })) return 0;
  expect_sound(model);
  q3vl::GenerationConfig generation;
  if (accepts([&] {
        generation =
            q3vl::parse_generation_config(documents["generation_config.json"], "generation_config.json", model);
      }))
    expect_sound(generation, model);
  if (!model.vision) return 0;
  q3vl::ImageConfig image;
  if (accepts([&] {
        const q3vl::JsonObject settings(documents["preprocessor_config.json"], "preprocessor_config.json");
        image = q3vl::parse_image_config(settings, *model.vision);
      }))
    expect_sound(image, *model.vision);
  return 0;
}
