// A model whose dimensions nothing divides: untied, unsorted DeepStack taps, heads · head_dim ≠ hidden_size, blocks
// that overhang, mixed types, several shards.
#pragma once

#include "synth/synth_checkpoint.h"

namespace q3vl {

/// `merge`: patches a side that become one token.
inline SynthOptions odd_model(std::int64_t merge) {
  SynthOptions options{.model = synth_preset("tiny")};
  options.seed = 5;
  options.max_shard_bytes = 200'000;
  options.rope_dialect = RopeDialect::rope_parameters;
  TextConfig& text = options.model.text;
  text.hidden_size = 72;
  text.intermediate_size = 100;
  text.num_hidden_layers = 3;
  text.num_attention_heads = 6;
  text.num_key_value_heads = 3;
  text.head_dim = 24;
  text.mrope_section = {5, 4, 3};
  text.rope_theta = 12345.0;
  text.rms_norm_eps = 3e-6;
  text.tie_word_embeddings = false;
  VisionConfig& vision = options.model.vision;
  vision.depth = 5;
  vision.hidden_size = 60;
  vision.num_heads = 5;
  vision.intermediate_size = 92;
  vision.patch_size = 8;
  vision.spatial_merge_size = merge;
  vision.num_position_embeddings = 49;
  vision.out_hidden_size = 72;
  vision.deepstack_visual_indexes = {3, 1};
  options.edit_tensors = [](std::vector<SynthTensor>& tensors) {  // a checkpoint of mixed types
    for (std::size_t i = 0; i < tensors.size(); ++i)
      tensors[i].type = i % 3 == 0 ? DataType::float32 : i % 3 == 1 ? DataType::float16 : DataType::bfloat16;
  };
  return options;
}

}  // namespace q3vl
