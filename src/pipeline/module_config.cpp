#include "pipeline/module_config.h"

#include <initializer_list>

namespace q3vl {
namespace {

void copy_keys(Json& to, const Json& from, std::initializer_list<const char*> keys) {
  for (const char* key : keys)
    if (from.contains(key)) to[key] = from.at(key);
}

/// The type of the weights goes by either key, and stands with the module or at the top.
void copy_type(Json& to, const Json& module, const Json& top) {
  for (const Json* home : {&module, &top})
    for (const char* key : {"dtype", "torch_dtype"})
      if (home->contains(key)) {
        to[key] = home->at(key);
        return;
      }
}

}  // namespace

Json language_model_config(const Json& source, const TextConfig& text) {
  const Json& from = source.at("text_config");
  Json document = {{"architectures", Json::array({"Qwen3ForCausalLM"})},
                   {"model_type", "qwen3"},
                   {"attention_bias", false},
                   {"hidden_act", "silu"},
                   {"tie_word_embeddings", text.tie_word_embeddings},
                   // Qwen3-VL has no sliding windows; a Qwen3 config says so in these words.
                   {"max_window_layers", text.num_hidden_layers},
                   {"sliding_window", nullptr},
                   {"use_sliding_window", false}};
  copy_keys(document, from,
            {"attention_dropout", "bos_token_id", "eos_token_id", "head_dim", "hidden_size", "initializer_range",
             "intermediate_size", "max_position_embeddings", "num_attention_heads", "num_hidden_layers",
             "num_key_value_heads", "pad_token_id", "rms_norm_eps", "use_cache", "vocab_size"});
  copy_type(document, from, source);
  copy_keys(document, source, {"transformers_version"});
  const auto is_given = [](const Json& object, const char* key) {
    return object.contains(key) && !object.at(key).is_null();
  };
  // One axis is left of three, and the rest as config/rope_config.h reads it.
  const bool older = is_given(from, "rope_scaling") && !from.at("rope_scaling").empty();
  Json rope = from.at(older ? "rope_scaling" : "rope_parameters");
  const Json theta = (is_given(rope, "rope_theta") ? rope : from).at("rope_theta");
  for (const char* key : {"mrope_section", "mrope_interleaved", "rope_theta"}) rope.erase(key);
  if (!rope.contains("rope_type") && !rope.contains("type")) rope["rope_type"] = "default";
  if (!older) {
    rope["rope_theta"] = theta;
    document["rope_parameters"] = std::move(rope);
  } else {
    document["rope_scaling"] = text.rope_scaling.type == RopeScaling::Type::none ? Json() : std::move(rope);
    document["rope_theta"] = theta;
  }
  return document;
}

Json visual_config(const Json& source) {
  Json document = source.at("vision_config");
  document["architectures"] = Json::array({"Qwen3VLVisionModel"});
  copy_type(document, source.at("vision_config"), source);
  copy_keys(document, source, {"transformers_version"});
  return document;
}

}  // namespace q3vl
