// config.json and its sisters: what is read, both dialects alike, and every refusal in its exact words.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "config/generation_config.h"
#include "config/image_config.h"
#include "config/model_config.h"
#include "support/refusal.h"
#include "support/temporary_folder.h"

namespace q3vl::config_test {
namespace {

using Ids = std::vector<std::int64_t>;

constexpr const char* kConfig = R"({
  "architectures": ["Qwen3VLForConditionalGeneration"],
  "image_token_id": 1012, "video_token_id": 1013, "vision_start_token_id": 1009, "vision_end_token_id": 1010,
  "model_type": "qwen3_vl",
  "tie_word_embeddings": false,
  "text_config": {
    "attention_bias": false, "bos_token_id": 1000, "eos_token_id": 1002, "head_dim": 24, "hidden_act": "silu",
    "hidden_size": 128, "intermediate_size": 260, "max_position_embeddings": 4096, "model_type": "qwen3_vl_text",
    "num_attention_heads": 6, "num_hidden_layers": 4, "num_key_value_heads": 2, "rms_norm_eps": 1e-06,
    "rope_scaling": {"mrope_interleaved": true, "mrope_section": [5, 4, 3], "rope_type": "default"},
    "rope_theta": 5000000, "tie_word_embeddings": false, "vocab_size": 1024
  },
  "vision_config": {
    "deepstack_visual_indexes": [4, 1], "depth": 6, "hidden_act": "gelu_pytorch_tanh", "hidden_size": 96,
    "in_channels": 3, "intermediate_size": 130, "num_heads": 4, "num_position_embeddings": 225, "out_hidden_size": 128,
    "patch_size": 16, "spatial_merge_size": 2, "temporal_patch_size": 2
  }
})";

Json config() {
  return Json::parse(kConfig);
}

ModelConfig parse(const Json& document) {
  return parse_model_config(document, "config.json");
}

TEST(ModelConfigs, EveryValueIsReadFromItsKey) {
  const ModelConfig c = parse(config());
  EXPECT_EQ(c.text.module, "model.language_model");
  EXPECT_EQ(c.text.vocab_size, 1024);
  EXPECT_EQ(c.text.hidden_size, 128);
  EXPECT_EQ(c.text.intermediate_size, 260);
  EXPECT_EQ(c.text.num_hidden_layers, 4);
  EXPECT_EQ(c.text.num_attention_heads, 6);
  EXPECT_EQ(c.text.num_key_value_heads, 2);
  EXPECT_EQ(c.text.head_dim, 24);
  EXPECT_EQ(c.text.max_position_embeddings, 4096);
  EXPECT_EQ(c.text.rms_norm_eps, 1e-6);
  EXPECT_EQ(c.text.rope_theta, 5e6);
  EXPECT_EQ(c.text.mrope_section, (Ids{5, 4, 3}));
  EXPECT_FALSE(c.text.tie_word_embeddings);
  EXPECT_EQ(c.vision->depth, 6);
  EXPECT_EQ(c.vision->hidden_size, 96);
  EXPECT_EQ(c.vision->intermediate_size, 130);
  EXPECT_EQ(c.vision->num_heads, 4);
  EXPECT_EQ(c.vision->in_channels, 3);
  EXPECT_EQ(c.vision->patch_size, 16);
  EXPECT_EQ(c.vision->temporal_patch_size, 2);
  EXPECT_EQ(c.vision->spatial_merge_size, 2);
  EXPECT_EQ(c.vision->num_position_embeddings, 225);
  EXPECT_EQ(c.vision->out_hidden_size, 128);
  EXPECT_EQ(c.vision->deepstack_visual_indexes, (Ids{4, 1}));
  EXPECT_EQ(c.image_token_id, 1012);
  EXPECT_EQ(c.video_token_id, 1013);
  EXPECT_EQ(c.vision_start_token_id, 1009);
  EXPECT_EQ(c.vision_end_token_id, 1010);
  EXPECT_EQ(c.bos_token_id, 1000);
  EXPECT_EQ(c.eos_token_ids, Ids{1002});
  EXPECT_EQ(c.pad_token_id, std::nullopt);

  EXPECT_EQ(c.vision->head_dim(), 24);
  EXPECT_EQ(c.vision->merge_unit(), 4);
  EXPECT_EQ(c.vision->merged_hidden_size(), 384);
  EXPECT_EQ(c.vision->patch_values(), 1536);
  EXPECT_EQ(c.vision->position_table_side(), 15);
  EXPECT_EQ(c.deepstack_levels(), 2);
  EXPECT_EQ(c.features_width(), 384);
}

TEST(ModelConfigs, BothDialectsSayTheSame) {
  Json newer = config();
  Json& text = newer["text_config"];
  text["rope_parameters"] = text["rope_scaling"];
  text["rope_parameters"]["rope_theta"] = text["rope_theta"];
  text.erase("rope_scaling");
  text.erase("rope_theta");
  text.erase("tie_word_embeddings");
  const TextConfig a = parse(config()).text;
  const TextConfig b = parse(newer).text;
  EXPECT_EQ(a.rope_theta, b.rope_theta);
  EXPECT_EQ(a.mrope_section, b.mrope_section);
  EXPECT_EQ(a.tie_word_embeddings, b.tie_word_embeddings);

  text["rope_parameters"].erase("rope_theta");
  text["rope_theta"] = 10000.0;
  EXPECT_EQ(parse(newer).text.rope_theta, 10000.0);
  text["rope_parameters"].erase("rope_type");
  text["rope_parameters"]["type"] = "default";
  EXPECT_EQ(parse(newer).text.mrope_section, (Ids{5, 4, 3}));
}

/// Hugging Face's order: rope_scaling, then rope_parameters; rope_theta inside, then outside.
TEST(ModelConfigs, WhereTwoHomesOfTheRotaryDiffer) {
  Json c = config();
  Json& text = c["text_config"];
  EXPECT_TRUE(parse(c).warnings.empty());
  text["rope_parameters"] = {{"rope_type", "default"}, {"rope_theta", 1e4}, {"mrope_section", {4, 4, 4}}};
  ModelConfig both = parse(c);
  EXPECT_EQ(both.text.mrope_section, (Ids{5, 4, 3}));
  EXPECT_EQ(both.text.rope_theta, 5e6);
  EXPECT_THAT(both.warnings,
              testing::ElementsAre("config.json: text_config.rope_scaling and text_config.rope_parameters "
                                   "differ; the former counts, as in Hugging Face"));
  text["rope_parameters"] = text["rope_scaling"];
  EXPECT_TRUE(parse(c).warnings.empty()) << "they say the same";
  text["rope_scaling"] = Json::object();  // says nothing
  EXPECT_TRUE(parse(c).warnings.empty());
  text["rope_parameters"]["rope_theta"] = 1e4;
  both = parse(c);
  EXPECT_EQ(both.text.rope_theta, 1e4);
  EXPECT_THAT(both.warnings,
              testing::ElementsAre("config.json: text_config.rope_parameters.rope_theta is 10000, and "
                                   "text_config.rope_theta is 5000000; the former counts, as in Hugging Face"));
}

TEST(ModelConfigs, RopeScaling) {
  Json c = config();
  Json& rope = c["text_config"]["rope_scaling"];
  EXPECT_EQ(parse(c).text.rope_scaling, RopeScaling{});
  rope["rope_type"] = "linear";
  rope["factor"] = 2;
  EXPECT_EQ(parse(c).text.rope_scaling, (RopeScaling{.type = RopeScaling::Type::linear, .factor = 2}));
  rope["rope_type"] = "yarn";
  rope["factor"] = 4;
  RopeScaling yarn{.type = RopeScaling::Type::yarn,
                   .factor = 4,
                   .attention_factor = 0.1 * std::log(4.0) + 1,
                   .original_max_position_embeddings = c["text_config"]["max_position_embeddings"]};
  EXPECT_EQ(parse(c).text.rope_scaling, yarn);
  rope.update({{"original_max_position_embeddings", 512}, {"beta_fast", 16}, {"beta_slow", 2}, {"truncate", false}});
  rope["attention_factor"] = 1.5;
  yarn = {.type = RopeScaling::Type::yarn,
          .factor = 4,
          .attention_factor = 1.5,
          .beta_fast = 16,
          .beta_slow = 2,
          .truncate = false,
          .original_max_position_embeddings = 512};
  EXPECT_EQ(parse(c).text.rope_scaling, yarn);
  rope.erase("attention_factor");
  rope.update({{"mscale", 0.7}, {"mscale_all_dim", 0.3}});
  EXPECT_DOUBLE_EQ(parse(c).text.rope_scaling.attention_factor,
                   (0.07 * std::log(4.0) + 1) / (0.03 * std::log(4.0) + 1));
}

TEST(ModelConfigs, TokenIdsOfTheTopWhereTextConfigHasNone) {
  Json c = config();
  for (const char* key : {"bos_token_id", "eos_token_id", "pad_token_id"}) c["text_config"].erase(key);
  c.update({{"bos_token_id", 3}, {"eos_token_id", {4, 5}}, {"pad_token_id", 6}});
  ModelConfig parsed = parse(c);
  EXPECT_EQ(parsed.bos_token_id, 3);
  EXPECT_EQ(parsed.eos_token_ids, (Ids{4, 5}));
  EXPECT_EQ(parsed.pad_token_id, 6);
  c["text_config"].update({{"eos_token_id", 7}, {"pad_token_id", 8}});
  parsed = parse(c);
  EXPECT_EQ(parsed.bos_token_id, 3);
  EXPECT_EQ(parsed.eos_token_ids, Ids{7});
  EXPECT_EQ(parsed.pad_token_id, 8);
}

TEST(ModelConfigs, WhatMayBeAbsentOrNull) {
  Json c = config();
  for (const char* key : {"attention_bias", "hidden_act", "bos_token_id", "eos_token_id", "tie_word_embeddings"})
    c["text_config"].erase(key);
  c["text_config"]["pad_token_id"] = nullptr;
  c["text_config"]["rope_scaling"].erase("mrope_interleaved");
  c["vision_config"].erase("hidden_act");
  c["vision_config"]["deepstack_visual_indexes"] = Json::array();
  c["quantization_config"] = nullptr;
  c["text_config"]["num_experts"] = 0;
  c["text_config"]["layer_types"] = std::vector<std::string>(4, "full_attention");
  const ModelConfig parsed = parse(c);
  EXPECT_EQ(parsed.bos_token_id, std::nullopt);
  EXPECT_EQ(parsed.pad_token_id, std::nullopt);
  EXPECT_TRUE(parsed.eos_token_ids.empty());
  EXPECT_EQ(parsed.features_width(), 128);

  c.erase("tie_word_embeddings");
  c["text_config"]["tie_word_embeddings"] = true;
  c["text_config"]["eos_token_id"] = {1002, 1000};
  EXPECT_TRUE(parse(c).text.tie_word_embeddings);
  EXPECT_EQ(parse(c).eos_token_ids, (Ids{1002, 1000}));
}

/// A config.json with one value changed (a JSON pointer; a null value removes the key), and how it is refused.
struct Refused {
  const char* pointer;
  const char* value;
  ErrorKind kind;
  const char* message;
};

void PrintTo(const Refused& row, std::ostream* out) {
  *out << row.pointer << " = " << row.value;
}

Json edited(Json document, const Refused& row) {
  const Json::json_pointer pointer(row.pointer);
  if (const Json value = Json::parse(row.value); value.is_null())
    document.at(pointer.parent_pointer()).erase(pointer.back());
  else
    document[pointer] = value;
  return document;
}

class ConfigRefusal : public testing::TestWithParam<Refused> {};

TEST_P(ConfigRefusal, SaysWhy) {
  const Json document = edited(config(), GetParam());
  EXPECT_EQ(refusal(GetParam().kind, [&] { parse(document); }), std::string("config.json: ") + GetParam().message);
}

constexpr ErrorKind kBad = ErrorKind::bad_input;
constexpr ErrorKind kUnsupported = ErrorKind::unsupported;

INSTANTIATE_TEST_SUITE_P(
    Architecture, ConfigRefusal,
    testing::Values(
        Refused{"/model_type", "null", kBad, "model_type is missing"},
        Refused{"/model_type", "7", kBad, "model_type is 7, expected a string"},
        Refused{"/model_type", "\"phi4mm\"", kUnsupported,
                "model_type is \"phi4mm\"; this program exports dense Qwen3-VL models (model_type \"qwen3_vl\") "
                "and dense Qwen3 language models (\"qwen3\")"},
        Refused{"/model_type", "\"qwen2_5_vl\"", kUnsupported,
                "model_type is \"qwen2_5_vl\"; this program exports dense Qwen3-VL models (model_type \"qwen3_vl\") "
                "and dense Qwen3 language models (\"qwen3\")"},
        Refused{"/model_type", "\"qwen3_vl_moe\"", kUnsupported,
                "model_type is \"qwen3_vl_moe\", a mixture of experts; this program exports dense Qwen3-VL models "
                "(model_type \"qwen3_vl\") and dense Qwen3 language models (\"qwen3\")"},
        Refused{
            "/quantization_config", R"({"quant_method": "fp8"})", kUnsupported,
            "quantization_config: the checkpoint is quantised already; export the original bf16, fp16 or fp32 weights"},
        Refused{"/compression_config", R"({"format": "pack-quantized"})", kUnsupported,
                "compression_config: the checkpoint is quantised already; export the original bf16, fp16 or fp32 "
                "weights"},
        Refused{"/text_config/quantization_config", R"({"quant_method": "fp8"})", kUnsupported,
                "text_config.quantization_config: the checkpoint is quantised already; export the original bf16, fp16 "
                "or fp32 weights"},
        Refused{"/vision_config/quantization_config", "{}", kUnsupported,
                "vision_config.quantization_config: the checkpoint is quantised already; export the original bf16, "
                "fp16 or fp32 weights"},
        Refused{"/text_config/num_experts", "128", kUnsupported,
                "text_config.num_experts is 128, a mixture of experts; only dense models are exported"},
        Refused{"/num_local_experts", "8", kUnsupported,
                "num_local_experts is 8, a mixture of experts; only dense models are exported"},
        Refused{"/text_config/num_experts", "1000000000000", kBad,
                "text_config.num_experts is 1000000000000, expected an integer from 0 to 65536"},
        Refused{"/text_config/num_experts", "-1", kBad,
                "text_config.num_experts is -1, expected an integer from 0 to 65536"},
        Refused{"/video_token_id", "1012", kBad,
                "video_token_id is 1012, expected another id than that of image_token_id"},
        Refused{"/vision_end_token_id", "1009", kBad,
                "vision_end_token_id is 1009, expected another id than that of vision_start_token_id"},
        Refused{"/text_config", "null", kBad, "text_config is missing"},
        Refused{"/vision_config", "[]", kBad, "vision_config is an array, expected an object"},
        Refused{"/tie_word_embeddings", "true", kBad,
                "tie_word_embeddings is true, but text_config.tie_word_embeddings is false"},
        Refused{"/tie_word_embeddings", "0", kBad, "tie_word_embeddings is 0, expected true or false"},
        Refused{"/image_token_id", "null", kBad, "image_token_id is missing"},
        Refused{"/image_token_id", "1024", kBad, "image_token_id is 1024, expected an integer from 0 to 1023"},
        Refused{"/video_token_id", "-1", kBad, "video_token_id is -1, expected an integer from 0 to 1023"},
        Refused{"/vision_start_token_id", "1024", kBad,
                "vision_start_token_id is 1024, expected an integer from 0 to 1023"},
        Refused{"/vision_end_token_id", "\"x\"", kBad,
                "vision_end_token_id is \"x\", expected an integer from 0 to 1023"}));

INSTANTIATE_TEST_SUITE_P(
    Text, ConfigRefusal,
    testing::Values(Refused{"/text_config/hidden_act", "\"gelu\"", kUnsupported,
                            "text_config.hidden_act is \"gelu\"; only \"silu\" is exported"},
                    Refused{"/text_config/attention_bias", "true", kUnsupported,
                            "text_config.attention_bias is true; only models without it are exported"},
                    Refused{"/text_config/use_sliding_window", "true", kUnsupported,
                            "text_config.use_sliding_window is true; only models without it are exported"},
                    Refused{"/text_config/mlp_bias", "true", kUnsupported,
                            "text_config.mlp_bias is true; only models without it are exported"},
                    Refused{"/text_config/final_logit_softcapping", "30.0", kUnsupported,
                            "text_config.final_logit_softcapping is 30.0; only models without it are exported"},
                    Refused{"/text_config/partial_rotary_factor", "0.5", kUnsupported,
                            "text_config.partial_rotary_factor is 0.5; only models without it are exported"},
                    Refused{"/text_config/layer_types", R"(["full_attention"])", kBad,
                            "text_config.layer_types has 1 entries, expected 4, one for each layer "
                            "(num_hidden_layers)"},
                    Refused{"/text_config/layer_types",
                            R"(["full_attention", "full_attention", "full_attention", "sliding_attention"])",
                            kUnsupported,
                            "text_config.layer_types holds \"sliding_attention\"; only \"full_attention\" is exported"},
                    Refused{"/text_config/layer_types", "7", kBad, "text_config.layer_types is 7, expected an array"},
                    Refused{"/text_config/rms_norm_eps", "1e-320", kBad,
                            "text_config.rms_norm_eps is 1e-320, expected a number from 1e-30 to 1"},
                    Refused{"/text_config/rms_norm_eps", "1e300", kBad,
                            "text_config.rms_norm_eps is 1e+300, expected a number from 1e-30 to 1"},
                    Refused{"/text_config/vocab_size", "0", kBad,
                            "text_config.vocab_size is 0, expected an integer from 1 to 16777216"},
                    Refused{"/text_config/hidden_size", "1048577", kBad,
                            "text_config.hidden_size is 1048577, expected an integer from 1 to 1048576"},
                    Refused{"/text_config/intermediate_size", "256.0", kBad,
                            "text_config.intermediate_size is 256.0, expected an integer from 1 to 1048576"},
                    Refused{"/text_config/num_hidden_layers", "4097", kBad,
                            "text_config.num_hidden_layers is 4097, expected an integer from 1 to 4096"},
                    Refused{"/text_config/num_attention_heads", "\"6\"", kBad,
                            "text_config.num_attention_heads is \"6\", expected an integer from 1 to 1048576"},
                    Refused{"/text_config/num_attention_heads", "1048576", kBad,
                            "text_config.num_attention_heads × head_dim is 25165824, expected at most 1048576"},
                    Refused{"/text_config/num_key_value_heads", "7", kBad,
                            "text_config.num_key_value_heads is 7, expected an integer from 1 to 6"},
                    Refused{"/text_config/num_key_value_heads", "4", kBad,
                            "text_config.num_key_value_heads is 4, which does not divide num_attention_heads, 6"},
                    Refused{"/text_config/head_dim", "null", kBad, "text_config.head_dim is missing"},
                    Refused{"/text_config/head_dim", "20", kUnsupported,
                            "text_config.head_dim is 20; ONNX Runtime's GroupQueryAttention needs a multiple of 8"},
                    Refused{"/text_config/max_position_embeddings", "0", kBad,
                            "text_config.max_position_embeddings is 0, expected an integer from 1 to 2147483647"},
                    Refused{"/text_config/rms_norm_eps", "0", kBad,
                            "text_config.rms_norm_eps is 0, expected a number from 1e-30 to 1"},
                    Refused{"/text_config/rms_norm_eps", "\"1e-6\"", kBad,
                            "text_config.rms_norm_eps is \"1e-6\", expected a number from 1e-30 to 1"},
                    Refused{"/text_config/bos_token_id", "1024", kBad,
                            "text_config.bos_token_id is 1024, expected an integer from 0 to 1023"},
                    Refused{"/text_config/pad_token_id", "-1", kBad,
                            "text_config.pad_token_id is -1, expected an integer from 0 to 1023"},
                    Refused{"/text_config/eos_token_id", "1024", kBad,
                            "text_config.eos_token_id is 1024, expected an integer from 0 to 1023"},
                    Refused{"/text_config/eos_token_id", "[3, 1024]", kBad,
                            "text_config.eos_token_id holds 1024, expected an array of integers from 0 to 1023"}));

INSTANTIATE_TEST_SUITE_P(
    Rope, ConfigRefusal,
    testing::Values(
        Refused{"/text_config/rope_scaling", "null", kBad,
                "text_config.rope_parameters is missing, and so is the older text_config.rope_scaling"},
        Refused{"/text_config/rope_scaling", "[]", kBad, "text_config.rope_scaling is an array, expected an object"},
        Refused{"/text_config/rope_theta", "null", kBad, "text_config.rope_theta is missing"},
        Refused{"/text_config/rope_theta", "1", kBad, "text_config.rope_theta is 1, expected a number from 2 to 1e+30"},
        Refused{"/text_config/rope_theta", "1e300", kBad,
                "text_config.rope_theta is 1e+300, expected a number from 2 to 1e+30"},
        Refused{"/text_config/rope_scaling", R"({"rope_theta": 0.5, "mrope_section": [5, 4, 3]})", kBad,
                "text_config.rope_scaling.rope_theta is 0.5, expected a number from 2 to 1e+30"},
        Refused{"/text_config/rope_scaling/rope_type", "\"llama3\"", kUnsupported,
                "text_config.rope_scaling.rope_type is \"llama3\"; \"default\", \"linear\" and \"yarn\" are exported"},
        Refused{"/text_config/rope_scaling/rope_type", "\"longrope\"", kUnsupported,
                "text_config.rope_scaling.rope_type is \"longrope\", whose frequencies depend on the prompt's length; "
                "\"default\", \"linear\" and \"yarn\" are exported"},
        Refused{"/text_config/rope_scaling/rope_type", "\"yarn\"", kBad, "text_config.rope_scaling.factor is missing"},
        Refused{
            "/text_config/rope_scaling/factor", "4", kBad,
            "text_config.rope_scaling.factor is 4, but rope_type is \"default\", which has no factor; name the type "
            "that is meant, \"yarn\" or \"linear\", or take the factor out"},
        Refused{"/text_config/rope_scaling",
                R"({"rope_type": "yarn", "factor": 2, "beta_fast": 1, "beta_slow": 8, "mrope_section": [5, 4, 3]})",
                kBad,
                "text_config.rope_scaling.beta_fast is 1, expected at least text_config.rope_scaling.beta_slow, which "
                "is 8"},
        Refused{"/text_config/rope_scaling", R"({"type": "dynamic", "mrope_section": [5, 4, 3]})", kUnsupported,
                "text_config.rope_scaling.type is \"dynamic\", whose frequencies depend on the prompt's length; "
                "\"default\", \"linear\" and \"yarn\" are exported"},
        Refused{"/text_config/rope_scaling",
                R"({"rope_theta": 5e6, "rope_type": "dynamic", "mrope_section": [5, 4, 3]})", kUnsupported,
                "text_config.rope_scaling.rope_type is \"dynamic\", whose frequencies depend on the prompt's length; "
                "\"default\", \"linear\" and \"yarn\" are exported"},
        Refused{"/text_config/rope_scaling/mrope_interleaved", "false", kUnsupported,
                "text_config.rope_scaling.mrope_interleaved is false; only interleaved MRoPE is exported"},
        Refused{"/text_config/rope_scaling/mrope_section", "null", kBad,
                "text_config.rope_scaling.mrope_section is missing"},
        Refused{"/text_config/rope_scaling/mrope_section", "[6, 6]", kBad,
                "text_config.rope_scaling.mrope_section has 2 entries, expected 3 (time, height, width)"},
        Refused{"/text_config/rope_scaling/mrope_section", "[5, 4, 4]", kBad,
                "text_config.rope_scaling.mrope_section is [5, 4, 4], whose sum must be head_dim / 2 = 12"},
        Refused{"/text_config/rope_scaling/mrope_section", "[5, 8, -1]", kBad,
                "text_config.rope_scaling.mrope_section holds -1, expected an array of integers from 0 to 1048576"},
        Refused{"/text_config/rope_scaling/mrope_section", "[3, 5, 4]", kBad,
                "text_config.rope_scaling.mrope_section is [3, 5, 4]: interleaving 5 frequencies at every third place "
                "does not fit into 12"},
        Refused{"/text_config/rope_scaling/mrope_section", "[3, 4, 5]", kBad,
                "text_config.rope_scaling.mrope_section is [3, 4, 5]: interleaving 5 frequencies at every third place "
                "does not fit into 12"}));

INSTANTIATE_TEST_SUITE_P(
    Vision, ConfigRefusal,
    testing::Values(
        Refused{"/vision_config/hidden_act", "\"gelu\"", kUnsupported,
                "vision_config.hidden_act is \"gelu\"; only \"gelu_pytorch_tanh\" is exported"},
        Refused{"/vision_config/depth", "0", kBad, "vision_config.depth is 0, expected an integer from 1 to 4096"},
        Refused{"/vision_config/hidden_size", "null", kBad, "vision_config.hidden_size is missing"},
        Refused{"/vision_config/intermediate_size", "-1", kBad,
                "vision_config.intermediate_size is -1, expected an integer from 1 to 1048576"},
        Refused{"/vision_config/num_heads", "5", kBad,
                "vision_config.num_heads is 5, which does not divide hidden_size, 96"},
        Refused{"/vision_config/num_heads", "16", kBad,
                "vision_config.hidden_size / num_heads is 6, expected a multiple of 4 for the rotary embedding of rows "
                "and columns"},
        Refused{"/vision_config/in_channels", "65", kBad,
                "vision_config.in_channels is 65, expected an integer from 1 to 64"},
        Refused{"/vision_config/in_channels", "1", kUnsupported,
                "vision_config.in_channels is 1; only 3, for red, green and blue, is exported"},
        Refused{"/vision_config/fullatt_block_indexes", "[7, 15]", kUnsupported,
                "vision_config.fullatt_block_indexes is an array; only models without it are exported"},
        Refused{"/vision_config/patch_size", "0", kBad,
                "vision_config.patch_size is 0, expected an integer from 1 to 1024"},
        Refused{"/vision_config/temporal_patch_size", "0", kBad,
                "vision_config.temporal_patch_size is 0, expected an integer from 1 to 64"},
        Refused{"/vision_config/spatial_merge_size", "null", kBad, "vision_config.spatial_merge_size is missing"},
        Refused{"/vision_config/num_position_embeddings", "224", kBad,
                "vision_config.num_position_embeddings is 224, expected a square number"},
        Refused{"/vision_config/out_hidden_size", "96", kBad,
                "vision_config.out_hidden_size is 96, expected text_config.hidden_size, 128"},
        Refused{"/vision_config/deepstack_visual_indexes", "null", kBad,
                "vision_config.deepstack_visual_indexes is missing"},
        Refused{"/vision_config/deepstack_visual_indexes", "[6]", kBad,
                "vision_config.deepstack_visual_indexes holds 6, expected an array of integers from 0 to 5"},
        Refused{"/vision_config/deepstack_visual_indexes", "[1, 3, 1]", kBad,
                "vision_config.deepstack_visual_indexes is [1, 3, 1], which names a block twice"},
        Refused{"/vision_config/deepstack_visual_indexes", "[0, 1, 2, 3, 4]", kBad,
                "vision_config.deepstack_visual_indexes has 5 entries, but only 4 text layers could take them"}));

TEST(ModelConfigs, NonsenseInAMixtureOfExpertsIsNamed) {
  Json c = config();
  c["model_type"] = "qwen3_vl_moe";
  c["text_config"]["num_experts"] = 1'000'000'000'000;
  EXPECT_EQ(refusal(kBad, [&] { parse(c); }),
            "config.json: text_config.num_experts is 1000000000000, expected an integer from 0 to 65536");
  c["text_config"]["num_experts"] = 128;
  EXPECT_TRUE(refusal(kUnsupported, [&] { parse(c); }).starts_with("config.json: model_type is \"qwen3_vl_moe\""));
}

TEST(ModelConfigs, TiedMustBeSaidSomewhere) {
  Json c = config();
  c.erase("tie_word_embeddings");
  c["text_config"].erase("tie_word_embeddings");
  EXPECT_EQ(refusal(kBad, [&] { parse(c); }),
            "config.json: tie_word_embeddings is missing, at the top and in text_config");
}

/// Interleaved sections that just fit: height at 1, 4, 7 … and width at 2, 5, 8 … below head_dim / 2.
TEST(ModelConfigs, TheWidestInterleavingsFit) {
  const auto fits = [](int head_dim, const Ids& section) {
    Json c = config();
    c["text_config"]["head_dim"] = head_dim;
    c["text_config"]["rope_scaling"]["mrope_section"] = section;
    return parse(c).text.mrope_section == section;
  };
  EXPECT_TRUE(fits(128, {24, 20, 20}));
  EXPECT_TRUE(fits(24, {4, 4, 4}));
  EXPECT_TRUE(fits(16, {3, 3, 2}));  // of 0 … 7: height 1, 4, 7, width 2, 5
}

constexpr const char* kLanguageConfig = R"({
  "architectures": ["Qwen3ForCausalLM"],
  "attention_bias": false, "bos_token_id": 1000, "eos_token_id": [1002, 1000], "head_dim": 24, "hidden_act": "silu",
  "hidden_size": 128, "intermediate_size": 260, "max_position_embeddings": 4096, "max_window_layers": 4,
  "model_type": "qwen3", "num_attention_heads": 6, "num_hidden_layers": 4, "num_key_value_heads": 2,
  "pad_token_id": 1001, "rms_norm_eps": 1e-06, "rope_scaling": null, "rope_theta": 1000000, "sliding_window": null,
  "tie_word_embeddings": true, "use_sliding_window": false, "vocab_size": 1024
})";

Json language_config() {
  return Json::parse(kLanguageConfig);
}

TEST(LanguageModelConfigs, EveryValueIsReadFromItsKey) {
  const ModelConfig c = parse(language_config());
  EXPECT_EQ(c.text.module, "model");
  EXPECT_EQ(c.text.vocab_size, 1024);
  EXPECT_EQ(c.text.hidden_size, 128);
  EXPECT_EQ(c.text.intermediate_size, 260);
  EXPECT_EQ(c.text.num_hidden_layers, 4);
  EXPECT_EQ(c.text.num_attention_heads, 6);
  EXPECT_EQ(c.text.num_key_value_heads, 2);
  EXPECT_EQ(c.text.head_dim, 24);
  EXPECT_EQ(c.text.max_position_embeddings, 4096);
  EXPECT_EQ(c.text.rms_norm_eps, 1e-6);
  EXPECT_EQ(c.text.rope_theta, 1e6);
  EXPECT_TRUE(c.text.mrope_section.empty());
  EXPECT_TRUE(c.text.tie_word_embeddings);
  EXPECT_EQ(c.bos_token_id, 1000);
  EXPECT_EQ(c.eos_token_ids, (Ids{1002, 1000}));
  EXPECT_EQ(c.pad_token_id, 1001);
  EXPECT_FALSE(c.vision.has_value());
  EXPECT_FALSE(c.image_token_id.has_value());
  EXPECT_FALSE(c.video_token_id.has_value());
  EXPECT_FALSE(c.vision_start_token_id.has_value());
  EXPECT_FALSE(c.vision_end_token_id.has_value());
  EXPECT_EQ(c.deepstack_levels(), 0);
  EXPECT_EQ(c.features_width(), 128);
}

TEST(LanguageModelConfigs, BothDialectsSayTheSame) {
  Json newer = language_config();
  newer.erase("rope_scaling");
  newer.erase("rope_theta");
  newer["rope_parameters"] = {{"rope_theta", 1000000.0}, {"rope_type", "default"}};
  EXPECT_EQ(parse(newer).text.rope_theta, parse(language_config()).text.rope_theta);
  EXPECT_TRUE(parse(newer).text.mrope_section.empty());
  newer["rope_parameters"].erase("rope_theta");
  newer["rope_theta"] = 10000;
  EXPECT_EQ(parse(newer).text.rope_theta, 10000);
}

TEST(LanguageModelConfigs, WhatMayBeAbsent) {
  Json c = language_config();
  for (const char* key : {"architectures", "attention_bias", "hidden_act", "bos_token_id", "eos_token_id",
                          "pad_token_id", "rope_scaling", "use_sliding_window"})
    c.erase(key);
  const ModelConfig parsed = parse(c);
  EXPECT_EQ(parsed.text.rope_theta, 1e6);
  EXPECT_TRUE(parsed.eos_token_ids.empty());
  c["rope_scaling"] = {{"type", "default"}};
  EXPECT_EQ(parse(c).text.rope_theta, 1e6);
}

class LanguageConfigRefusal : public testing::TestWithParam<Refused> {};

TEST_P(LanguageConfigRefusal, SaysWhy) {
  const Json document = edited(language_config(), GetParam());
  EXPECT_EQ(refusal(GetParam().kind, [&] { parse(document); }), std::string("config.json: ") + GetParam().message);
}

INSTANTIATE_TEST_SUITE_P(
    All, LanguageConfigRefusal,
    testing::Values(
        Refused{"/model_type", "\"qwen3_moe\"", kUnsupported,
                "model_type is \"qwen3_moe\", a mixture of experts; this program exports dense Qwen3-VL models "
                "(model_type \"qwen3_vl\") and dense Qwen3 language models (\"qwen3\")"},
        Refused{"/architectures", R"(["Qwen3ForSequenceClassification"])", kUnsupported,
                "architectures is [\"Qwen3ForSequenceClassification\"]; of plain Qwen3 models only "
                "[\"Qwen3ForCausalLM\"] is exported"},
        Refused{
            "/quantization_config", R"({"quant_method": "awq"})", kUnsupported,
            "quantization_config: the checkpoint is quantised already; export the original bf16, fp16 or fp32 weights"},
        Refused{"/use_sliding_window", "true", kUnsupported,
                "use_sliding_window is true; only models without it are exported"},
        Refused{"/attention_bias", "true", kUnsupported, "attention_bias is true; only models without it are exported"},
        Refused{"/hidden_act", "\"gelu\"", kUnsupported, "hidden_act is \"gelu\"; only \"silu\" is exported"},
        Refused{"/hidden_size", "null", kBad, "hidden_size is missing"},
        Refused{"/tie_word_embeddings", "null", kBad, "tie_word_embeddings is missing"},
        Refused{"/rope_theta", "null", kBad, "rope_parameters is missing, and so is the older rope_theta"},
        Refused{"/rope_theta", "0.5", kBad, "rope_theta is 0.5, expected a number from 2 to 1e+30"},
        Refused{"/rope_scaling", R"({"rope_type": "su", "factor": 4.0})", kUnsupported,
                "rope_scaling.rope_type is \"su\"; \"default\", \"linear\" and \"yarn\" are exported"},
        Refused{"/rope_parameters", R"({"rope_type": "linear", "rope_theta": 1e6, "factor": 0.5})", kBad,
                "rope_parameters.factor is 0.5, expected a number from 1 to 1000000"},
        Refused{"/rope_parameters", R"({"rope_type": "default", "rope_theta": 1})", kBad,
                "rope_parameters.rope_theta is 1, expected a number from 2 to 1e+30"},
        Refused{"/eos_token_id", "1024", kBad, "eos_token_id is 1024, expected an integer from 0 to 1023"}));

class ConfigFiles : public testing::Test {
 protected:
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  void write(const std::string& name, const std::string& text) const { write_bytes(folder_ / name, text); }

  TemporaryFolder folder_;
  ModelConfig model_ = parse(config());
};

TEST_F(ConfigFiles, TheMessagesOfFilesNameTheirPath) {
  EXPECT_EQ(refusal(kBad, [&] { read_model_config(folder_.path()); }),
            path("config.json") + ": cannot open: No such file or directory");
  write("config.json", "{}");
  EXPECT_EQ(refusal(kBad, [&] { read_model_config(folder_.path()); }), path("config.json") + ": model_type is missing");
  write("config.json", kConfig);
  EXPECT_EQ(read_model_config(folder_.path()).text.head_dim, 24);
}

TEST_F(ConfigFiles, GenerationConfigGoesBeforeConfig) {
  const auto read = [&] { return read_generation_config(folder_.path(), model_); };
  GenerationConfig g = read();
  EXPECT_EQ(g.eos_token_ids, Ids{1002});
  EXPECT_EQ(g.bos_token_id, 1000);
  EXPECT_EQ(g.pad_token_id, 1002);
  EXPECT_FALSE(g.do_sample);
  EXPECT_EQ(g.top_k, 50);
  EXPECT_EQ(g.temperature, 1.0);

  write("generation_config.json",
        R"({"bos_token_id": 7, "pad_token_id": 8, "eos_token_id": [9, 10], "do_sample": true, "top_k": 20,
                                      "top_p": 0.8, "temperature": 0.7, "repetition_penalty": 1.05})");
  g = read();
  EXPECT_EQ(g.eos_token_ids, (Ids{9, 10}));
  EXPECT_EQ(g.bos_token_id, 7);
  EXPECT_EQ(g.pad_token_id, 8);
  EXPECT_TRUE(g.do_sample);
  EXPECT_EQ(g.top_k, 20);
  EXPECT_EQ(g.top_p, 0.8);
  EXPECT_EQ(g.temperature, 0.7);
  EXPECT_EQ(g.repetition_penalty, 1.05);

  write("generation_config.json", R"({"eos_token_id": 9})");
  EXPECT_EQ(read().eos_token_ids, Ids{9});
  EXPECT_EQ(read().pad_token_id, 9);

  const auto expect = [&](const std::string& text, const std::string& message) {
    write("generation_config.json", text);
    EXPECT_EQ(refusal(kBad, read), path("generation_config.json") + ": " + message);
  };
  expect("[]", "the document is an array, expected an object");
  expect(R"({"bos_token_id": 1024})", "bos_token_id is 1024, expected an integer from 0 to 1023");
  expect(R"({"pad_token_id": "x"})", "pad_token_id is \"x\", expected an integer from 0 to 1023");
  expect(R"({"eos_token_id": -1})", "eos_token_id is -1, expected an integer from 0 to 1023");
  expect(R"({"eos_token_id": [1, 1024]})", "eos_token_id holds 1024, expected an array of integers from 0 to 1023");
  expect(R"({"do_sample": 1})", "do_sample is 1, expected true or false");
  expect(R"({"top_k": 0.5})", "top_k is 0.5, expected an integer from 0 to 16777216");
  expect(R"({"top_k": -1})", "top_k is -1, expected an integer from 0 to 16777216");
  expect(R"({"top_p": 2})", "top_p is 2, expected a number from 0 to 1");
  expect(R"({"temperature": -0.1})", "temperature is -0.1, expected a number from 0 to 100");
  expect(R"({"repetition_penalty": 0})", "repetition_penalty is 0, expected a number from 0.01 to 100");
  expect(R"({"top_p": "x"})", "top_p is \"x\", expected a number from 0 to 1");
  expect(R"({"temperature": true})", "temperature is true, expected a number from 0 to 100");
  expect(R"({"repetition_penalty": []})", "repetition_penalty is an array, expected a number from 0.01 to 100");
  model_.eos_token_ids.clear();
  write("generation_config.json", "{}");
  write("tokenizer_config.json",
        R"({"eos_token": {"content": "<|end|>"}, "added_tokens_decoder": {"5": {"content": "x"}}})");
  write("tokenizer.json", R"({"added_tokens": [{"id": 1, "content": "<|begin|>"}, {"id": 6, "content": "<|end|>"}]})");
  EXPECT_EQ(read_generation_config(folder_.path(), model_).eos_token_ids, Ids{6}) << "by its name";
  write("tokenizer_config.json", R"({"eos_token": "<|end|>", "added_tokens_decoder": {"5": {"content": "<|end|>"}}})");
  EXPECT_EQ(read_generation_config(folder_.path(), model_).eos_token_ids, Ids{5});
  std::filesystem::remove(folder_ / "tokenizer_config.json");
  expect("{}", "eos_token_id is missing, here and in config.json; no client would know where an answer ends");
}

constexpr const char* kPreprocessor = R"({
  "size": {"longest_edge": 16777216, "shortest_edge": 65536}, "patch_size": 16,
  "temporal_patch_size": 2, "merge_size": 2,
  "image_mean": [0.5, 0.25, 0.125], "image_std": [0.5, 0.5, 1], "do_resize": true, "do_normalize": true})";

TEST_F(ConfigFiles, ImageSettingsInEitherFileAndEitherSpelling) {
  const auto expect_settings = [&](double rescale_factor) {
    const ImageConfig image = read_image_config(folder_.path(), *model_.vision);
    EXPECT_EQ(image.min_pixels, 65536);
    EXPECT_EQ(image.max_pixels, 16777216);
    EXPECT_EQ(image.patch_size, 16);
    EXPECT_EQ(image.temporal_patch_size, 2);
    EXPECT_EQ(image.merge_size, 2);
    EXPECT_EQ(image.image_mean, (std::vector<double>{0.5, 0.25, 0.125}));
    EXPECT_EQ(image.image_std, (std::vector<double>{0.5, 0.5, 1}));
    EXPECT_EQ(image.rescale_factor, rescale_factor);
  };
  EXPECT_EQ(
      refusal(kBad, [&] { read_image_config(folder_.path(), *model_.vision); }),
      path("preprocessor_config.json") +
          ": is missing, and so is processor_config.json; without the image settings no client can prepare a picture");
  write("processor_config.json", R"({"image_processor": )" + std::string(kPreprocessor) + "}");
  expect_settings(1.0 / 255);
  Json older = Json::parse(kPreprocessor);
  older.erase("size");
  older["min_pixels"] = 65536;
  older["max_pixels"] = 16777216;
  older["rescale_factor"] = 0.5;
  write("preprocessor_config.json", older.dump());
  std::vector<std::string> warnings;
  EXPECT_EQ(read_image_config(folder_.path(), *model_.vision, &warnings).rescale_factor, 1.0 / 255);
  EXPECT_THAT(warnings, testing::ElementsAre(path("preprocessor_config.json") +
                                             ": differs from image_processor of processor_config.json, which counts, "
                                             "as in Hugging Face"));
  std::filesystem::remove(folder_ / "processor_config.json");
  expect_settings(0.5);
  write("processor_config.json", R"({"image_processor": )" + older.dump() + "}");
  warnings.clear();
  read_image_config(folder_.path(), *model_.vision, &warnings);
  EXPECT_TRUE(warnings.empty()) << "they say the same";
}

TEST_F(ConfigFiles, PixelLimitsInEverySpelling) {
  const auto limits = [&](const char* edit) {
    Json settings = Json::parse(kPreprocessor);
    settings.merge_patch(Json::parse(edit));
    write("preprocessor_config.json", settings.dump());
    const ImageConfig image = read_image_config(folder_.path(), *model_.vision);
    return std::pair(image.min_pixels, image.max_pixels);
  };
  EXPECT_EQ(
      limits(R"({"size": {"shortest_edge": null, "longest_edge": null, "min_pixels": 3000, "max_pixels": 4000}})"),
      std::pair(3000L, 4000L));
  EXPECT_EQ(limits(R"({"min_pixels": 2000, "max_pixels": 5000})"), std::pair(2000L, 5000L)) << "they override the size";
  EXPECT_EQ(limits(R"({"max_pixels": 70000})"), std::pair(65536L, 70000L));
  EXPECT_EQ(limits(R"({"size": null, "min_pixels": 2000, "max_pixels": 5000})"), std::pair(2000L, 5000L));
}

TEST_F(ConfigFiles, VideoSettingsAreThoseOfPicturesButForWhatTheySay) {
  write("preprocessor_config.json", kPreprocessor);
  const ImageConfig image = read_image_config(folder_.path(), *model_.vision);
  EXPECT_EQ(read_video_config(folder_.path(), image), image);
  write(
      "video_preprocessor_config.json",
      R"({"size": {"shortest_edge": 4096, "longest_edge": 8192}, "image_mean": [0.9, 0.8, 0.7], "image_std": [1, 1, 1]})");
  ImageConfig video = image;
  video.min_pixels = 4096;
  video.max_pixels = 8192;
  video.image_mean = {0.9, 0.8, 0.7};
  video.image_std = {1, 1, 1};
  EXPECT_EQ(read_video_config(folder_.path(), image), video);
  write("processor_config.json", R"({"video_processor": {"rescale_factor": 0.5}})");  // goes before the older file
  video = image;
  video.rescale_factor = 0.5;
  EXPECT_EQ(read_video_config(folder_.path(), image), video);
  write("processor_config.json", R"({"video_processor": {"image_std": [1, 0, 1]}})");
  EXPECT_EQ(refusal(kBad, [&] { read_video_config(folder_.path(), image); }),
            path("processor_config.json") +
                ": video_processor.image_std holds 0, expected an array of numbers from 1e-06 to 255");
}

TEST_F(ConfigFiles, ImageSettingsThatDoNotFit) {
  const auto expect = [&](const Refused& row) {
    const Json settings = edited(Json::parse(kPreprocessor), row);
    const auto read = [&] { read_image_config(folder_.path(), *model_.vision); };
    write("preprocessor_config.json", settings.dump());
    EXPECT_EQ(refusal(row.kind, read), path("preprocessor_config.json") + ": " + row.message);
  };
  expect({"/patch_size", "14", kBad,
          "patch_size is 14, but config.json says vision_config.patch_size = 16; the files do not belong together"});
  expect({"/temporal_patch_size", "1", kBad,
          "temporal_patch_size is 1, but config.json says vision_config.temporal_patch_size = 2; the files do not "
          "belong together"});
  expect(
      {"/merge_size", "4", kBad,
       "merge_size is 4, but config.json says vision_config.spatial_merge_size = 2; the files do not belong together"});
  expect({"/merge_size", "null", kBad, "merge_size is missing"});
  expect({"/patch_size", "0", kBad, "patch_size is 0, expected an integer from 1 to 1024"});
  expect({"/size", "null", kBad, "min_pixels is missing"});
  expect({"/size", "224", kBad, "size is 224, expected an object"});
  expect({"/size/longest_edge", "null", kBad, "size.longest_edge is missing"});
  expect({"/size/shortest_edge", "0", kBad, "size.shortest_edge is 0, expected an integer from 1 to 1099511627776"});
  expect({"/size/shortest_edge", "16777217", kBad,
          "size.shortest_edge is 16777217 pixels, expected at most size.longest_edge, which is 16777216"});
  expect({"/image_mean", "[0.5]", kBad, "image_mean has 1 values, expected 3, one for each channel"});
  expect({"/image_std", "[0.5, 0.5, 0.5, 0.5]", kBad, "image_std has 4 values, expected 3, one for each channel"});
  expect({"/image_std", "[0.5, 0, 0.5]", kBad, "image_std holds 0, expected an array of numbers from 1e-06 to 255"});
  expect({"/size", R"({"shortest_edge": 1, "longest_edge": 1023})", kBad,
          "size.longest_edge is 1023 pixels, expected at least 1024, those of one token ((patch_size × merge_size)²)"});
  expect({"/image_mean", "[0.5, 0.5, 1e30]", kBad,
          "image_mean holds 1e+30, expected an array of numbers from -255 to 255"});
  expect({"/image_std", "[0.5, 0.5, 1e-30]", kBad,
          "image_std holds 1e-30, expected an array of numbers from 1e-06 to 255"});
  expect({"/rescale_factor", "0", kBad, "rescale_factor is 0, expected a number from 1e-06 to 1"});
  expect({"/rescale_factor", "-0.5", kBad, "rescale_factor is -0.5, expected a number from 1e-06 to 1"});
  expect({"/image_mean", "0.5", kBad, "image_mean is 0.5, expected an array of numbers from -255 to 255"});
  expect({"/image_mean", "[0.5, \"x\", 0.5]", kBad,
          "image_mean holds \"x\", expected an array of numbers from -255 to 255"});
  expect({"/rescale_factor", "\"1/255\"", kBad, "rescale_factor is \"1/255\", expected a number from 1e-06 to 1"});
  expect({"/resample", "2", kUnsupported, "resample is 2; only 3, PIL's bicubic filter, is exported"});
  for (const char* step : {"do_resize", "do_rescale", "do_normalize"}) {
    const std::string message =
        std::string(step) + " is false; only models whose pictures are resized, rescaled and normalised are exported";
    expect({(std::string("/") + step).c_str(), "false", kUnsupported, message.c_str()});
  }

  std::filesystem::remove(folder_ / "preprocessor_config.json");
  write("processor_config.json", "{}");
  EXPECT_EQ(refusal(kBad, [&] { read_image_config(folder_.path(), *model_.vision); }),
            path("preprocessor_config.json") +
                ": is missing, and processor_config.json has no image_processor; without "
                "the image settings no client can prepare a picture");
  Json nested = Json::parse(kPreprocessor);
  nested["patch_size"] = 14;
  write("processor_config.json", Json{{"image_processor", nested}}.dump());
  EXPECT_EQ(refusal(kBad, [&] { read_image_config(folder_.path(), *model_.vision); }),
            path("processor_config.json") +
                ": image_processor.patch_size is 14, but config.json says vision_config.patch_size = 16; the "
                "files do not belong together");
}

}  // namespace
}  // namespace q3vl::config_test
