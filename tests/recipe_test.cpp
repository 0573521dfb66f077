// Recipes: names, files, overrides, and what is refused, word for word.
#include "recipe/recipe.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>

#include <filesystem>
#include <fstream>

#include "support/refusal.h"
#include "support/temporary_folder.h"

namespace q3vl::recipe_test {
namespace {

class RecipeFile : public testing::Test {
 protected:
  std::string refusal(const std::string& text) const {
    std::ofstream(path_) << text;
    return refusal_of(path_.string(), {});
  }

  static std::string refusal_of(const std::string& recipe, const RecipeOverrides& overrides) {
    return q3vl::refusal(ErrorKind::usage, [&] { resolve_recipe(recipe, overrides); });
  }

  std::string origin() const { return "recipe " + path_.string() + ": "; }

  TemporaryFolder folder_;
  std::filesystem::path path_ = folder_ / "recipe.json";
};

constexpr std::int64_t kLayers = 36;
constexpr std::array kLayerRoles = {Role::attention_q, Role::attention_k, Role::attention_v, Role::attention_o,
                                    Role::mlp_gate,    Role::mlp_up,      Role::mlp_down};

Encoding blocks(int bits, int block_size, const char* quantizer, bool symmetric) {
  return {.format = Encoding::Format::block_quantized,
          .bits = bits,
          .block_size = block_size,
          .symmetric = symmetric,
          .quantizer = quantizer};
}

const Encoding kInt8 = blocks(8, 128, "rtn", true);
const Encoding kInt4 = blocks(4, 32, "grid", false);

TEST(Recipes, GiveEachRoleItsEncoding) {
  struct Row {
    const char* recipe;
    Encoding layers, head, embedding;
  };
  const Encoding small = blocks(4, 128, "grid", false);
  for (const Row& row :
       {Row{"int4", kInt4, kInt8, kInt8}, Row{"int4-small", blocks(4, 64, "grid", false), small, small},
        Row{"int4-rtn", blocks(4, 32, "rtn", true), blocks(4, 32, "rtn", true), Encoding{}},
        Row{"int8", kInt8, kInt8, kInt8}, Row{"fp32", {}, {}, {}}}) {
    SCOPED_TRACE(row.recipe);
    const Recipe recipe = resolve_recipe(row.recipe, {});
    const EncodingPolicy policy = recipe.policy(kLayers);
    for (const Role role : kLayerRoles)
      for (const std::int64_t layer : {0, 17, 35}) EXPECT_EQ(policy({role, layer}), row.layers) << name_of(role);
    EXPECT_EQ(policy(Role::lm_head), row.head);
    EXPECT_EQ(policy(Role::embedding), row.embedding);
    for (const Role role : {Role::vision_qkv, Role::vision_vector, Role::vision_table})
      EXPECT_EQ(policy(role), Encoding{}) << name_of(role);
    EXPECT_EQ(policy(Role::norm).format, Encoding::Format::float32);
    EXPECT_EQ(recipe.accuracy_level, row.layers.in_blocks() ? 4 : 0);
    EXPECT_EQ(recipe.logits, Logits::last);
  }
}

TEST(Recipes, TheFastOnesComputeTheTowerInIntegers) {
  const Encoding w8a8{.format = Encoding::Format::w8a8};
  const Encoding int4 = blocks(4, 128, "grid", true);
  for (const auto& [name, layers, head] : {std::tuple("w8a8", w8a8, kInt8), std::tuple("int4-fast", int4, int4)}) {
    SCOPED_TRACE(name);
    const Recipe recipe = resolve_recipe(name, {});
    const EncodingPolicy policy = recipe.policy(kLayers);
    for (const Role role : kLayerRoles) EXPECT_EQ(policy({role, 17}), layers) << name_of(role);
    EXPECT_EQ(policy(Role::lm_head), head);
    EXPECT_EQ(policy(Role::embedding), kInt8);
    for (const Role role :
         {Role::vision_qkv, Role::vision_proj, Role::vision_fc1, Role::vision_fc2, Role::vision_merger})
      EXPECT_EQ(policy(role), w8a8) << name_of(role);
    for (const Role role : {Role::vision_patch_embed, Role::vision_table, Role::vision_vector})
      EXPECT_EQ(policy(role), Encoding{}) << name_of(role);
    EXPECT_EQ(recipe.accuracy_level, 4);
  }
}

TEST(Recipes, RulesReachTheTower) {
  const auto policy =
      resolve_recipe("fp32", {.vision = "int8", .tensors = {"vision_fc2=fp16", "vision_qkv=fp32"}}).policy(kLayers);
  EXPECT_EQ(policy(Role::vision_fc2).format, Encoding::Format::float16);
  EXPECT_EQ(policy(Role::vision_qkv), Encoding{});
  EXPECT_EQ(policy(Role::vision_fc1).format, Encoding::Format::w8a8);
}

TEST(Recipes, MixedIsInt8WhereItPays) {
  const EncodingPolicy policy = resolve_recipe("int4-mixed", {}).policy(kLayers);
  for (const Role role : kLayerRoles)
    for (std::int64_t layer = 0; layer < kLayers; ++layer) {
      const bool paying = layer == 0 || role == Role::attention_v;
      EXPECT_EQ(policy({role, layer}), paying ? kInt8 : kInt4) << name_of(role) << " of layer " << layer;
    }
  EXPECT_EQ(policy(Role::lm_head), kInt8);
}

TEST(Recipes, RulesOfTheCommandLineComeLast) {
  const auto policy = resolve_recipe("int4", {.tensors = {"mlp_down@0..2,-1=int8-block32", "attention_k=fp16",
                                                          "lm_head=int4-kquant", "mlp_down@1=fp32"}})
                          .policy(kLayers);
  EXPECT_EQ(policy({Role::mlp_down, 0}), blocks(8, 32, "rtn", true));
  EXPECT_EQ(policy({Role::mlp_down, 1}), Encoding{}) << "the last rule counts";
  EXPECT_EQ(policy({Role::mlp_down, 2}), blocks(8, 32, "rtn", true));
  EXPECT_EQ(policy({Role::mlp_down, 3}), kInt4);
  EXPECT_EQ(policy({Role::mlp_down, 35}), blocks(8, 32, "rtn", true));
  EXPECT_EQ(policy({Role::attention_k, 20}).format, Encoding::Format::float16);
  EXPECT_EQ(policy(Role::lm_head), blocks(4, 32, "kquant", false));
}

TEST(Recipes, ASpecSaysAsMuchAsItMust) {
  const auto encoding = [](const char* spec) {
    return resolve_recipe("fp32", {.embedding = spec}).policy(kLayers)(Role::embedding);
  };
  EXPECT_EQ(encoding("int4"), kInt4);
  EXPECT_EQ(encoding("int8"), kInt8);
  EXPECT_EQ(encoding("int2"), blocks(2, 32, "grid", false));
  EXPECT_EQ(encoding("int4-sym"), blocks(4, 32, "grid", true));
  EXPECT_EQ(encoding("int4-block64"), blocks(4, 64, "grid", false));
  EXPECT_EQ(encoding("int8-hqq"), blocks(8, 128, "hqq", false));
  EXPECT_EQ(encoding("int8-block16-kquant-asym"), blocks(8, 16, "kquant", false));
  EXPECT_EQ(encoding("fp16").format, Encoding::Format::float16);
}

TEST_F(RecipeFile, OverridesChangeWhatTheyName) {
  const Recipe recipe = resolve_recipe(
      "fp32", {.text = "int8", .embedding = "int4", .vision = "fp16", .logits = "all", .block_size = 64});
  EXPECT_EQ(recipe.text.encoding(), blocks(8, 64, "rtn", true));
  EXPECT_EQ(recipe.embedding.encoding(), blocks(4, 64, "grid", false));
  EXPECT_EQ(recipe.policy(kLayers)(Role::vision_qkv).format, Encoding::Format::float16);
  EXPECT_EQ(recipe.accuracy_level, 4);
  EXPECT_EQ(recipe.logits, Logits::all);
  EXPECT_EQ(resolve_recipe("int4", {.text = "fp32"}).to_json()["text"].dump(),
            R"({"precision":"fp32","logits":"last"})");
  EXPECT_EQ(resolve_recipe("int4", {.text = "fp32"}).policy(kLayers)(Role::lm_head), Encoding{})
      << "--text is said of the head too";
  EXPECT_EQ(resolve_recipe("int4", {.block_size = 16}).policy(kLayers)(Role::lm_head), blocks(8, 16, "rtn", true));
}

TEST_F(RecipeFile, TheCacheIsOfFloatsUnlessTold) {
  EXPECT_EQ(resolve_recipe("int4", {}).kv_cache, KvCacheType::floats);
  EXPECT_EQ(resolve_recipe("int4", {.kv_cache = "float"}).to_json(), resolve_recipe("int4", {}).to_json());
  EXPECT_FALSE(resolve_recipe("int4", {}).to_json()["text"].contains("kv_cache"));
  const Recipe recipe = resolve_recipe("int4", {.kv_cache = "int8"});
  EXPECT_EQ(recipe.to_json()["text"]["kv_cache"], "int8");
  std::ofstream(path_) << recipe.to_json().dump();
  EXPECT_EQ(resolve_recipe(path_.string(), {}).kv_cache, KvCacheType::int8);
  EXPECT_EQ(resolve_recipe(path_.string(), {.kv_cache = "float"}).kv_cache, KvCacheType::floats);
  for (const char* name : {"int4", "fp32"})
    EXPECT_EQ(resolve_recipe(name, {}).policy(kLayers)({Role::value_norms, 3}).format, Encoding::Format::row_norms);
}

TEST_F(RecipeFile, AResolvedRecipeIsARecipe) {
  const Recipe first = resolve_recipe(
      "int4-mixed",
      {.embedding = "int2", .block_size = 64, .tensors = {"mlp_up@3,5..-2=int8"}, .importance = "weights"});
  std::ofstream(path_) << first.to_json().dump();
  EXPECT_EQ(resolve_recipe(path_.string(), {}).to_json(), first.to_json());
}

TEST_F(RecipeFile, UnknownThingsAreRefused) {
  EXPECT_EQ(refusal_of("int5", {}),
            "the recipe \"int5\" is not known; known are fp16, fp32, int4, int4-fast, int4-gptq, int4-mixed, "
            "int4-rtn, int4-small, int8, w8a8, or the path of a recipe file");
  EXPECT_EQ(refusal_of("./none.json", {}), "./none.json: cannot open: No such file or directory");
  EXPECT_EQ(refusal_of("int4", {.target = "tpu"}), "--target is \"tpu\", expected cpu, the only target there is");
  EXPECT_EQ(refusal_of("int4", {.text = "int3"}), "--text is \"int3\", expected fp32, fp16, int8, int4, int2, w8a8");
  EXPECT_EQ(refusal_of("int4", {.vision = "int4"}), "--vision is \"int4\", expected fp32, fp16 or int8");
  EXPECT_EQ(refusal_of("int4", {.logits = "none"}), "--logits is \"none\", expected last or all");
  EXPECT_EQ(refusal_of("int4", {.kv_cache = "int4"}), "--kv-cache is \"int4\", expected float or int8");
  EXPECT_EQ(
      refusal(
          R"({"target": "cpu", "text": {"precision": "fp32", "logits": "last", "kv_cache": "fp16"}, "embedding": {"precision": "fp32"}, "vision": {"precision": "fp32"}})"),
      "text.kv_cache is \"fp16\", expected float or int8");
  EXPECT_EQ(refusal_of("int4", {.block_size = 48}),
            "the block size is 48, expected one of 16, 32, 64, 128, 256: ONNX Runtime's MatMulNBits takes no other");
  EXPECT_EQ(refusal_of("fp32", {.block_size = 32}),
            "--block-size 32 goes with int8, int4 and int2, but nothing is quantised in blocks here");
  EXPECT_EQ(
      refusal(
          R"({"target": "cpu", "text": {"precision": "fp32", "logits": "last"}, "embedding": {"precision": "fp32"}, "vision": {"precision": "fp32"}, "extra": 1})"),
      origin() +
          "extra is not a known key; known here: description, target, text, embedding, vision, tensors, importance");
  EXPECT_EQ(
      refusal(
          R"({"target": "cpu", "text": {"precision": "fp32", "bits": 4, "logits": "last"}, "embedding": {"precision": "fp32"}, "vision": {"precision": "fp32"}})"),
      origin() +
          "text.bits is not a known key; known here: precision, block_size, quantizer, symmetric, accuracy_level, "
          "logits, kv_cache");
  EXPECT_EQ(
      refusal(
          R"({"target": "cpu", "text": {"precision": "int4", "quantizer": "best", "logits": "last"}, "embedding": {"precision": "fp32"}, "vision": {"precision": "fp32"}})"),
      "the quantizer \"best\" is not known; known are grid, rtn, kquant, hqq, gptq");
}

TEST_F(RecipeFile, KeysThatSayNothingAreRefused) {
  EXPECT_EQ(
      refusal(
          R"({"target": "cpu", "text": {"precision": "fp32", "block_size": 32, "logits": "last"}, "embedding": {"precision": "fp32"}, "vision": {"precision": "fp32"}})"),
      origin() + "text.block_size goes with the precisions int8, int4 and int2, but text.precision is \"fp32\"");
  EXPECT_EQ(
      refusal(
          R"({"target": "cpu", "text": {"precision": "fp16", "accuracy_level": 4, "logits": "last"}, "embedding": {"precision": "fp32"}, "vision": {"precision": "fp32"}})"),
      origin() + "text.accuracy_level goes with the precisions int8, int4 and int2");
}

TEST_F(RecipeFile, SlowCombinationsAreRefused) {
  EXPECT_EQ(
      refusal(
          R"({"target": "cpu", "text": {"precision": "int8", "accuracy_level": 0, "logits": "last"}, "embedding": {"precision": "fp32"}, "vision": {"precision": "fp32"}})"),
      "the recipe " + path_.string() +
          " gives int8 the accuracy_level 0, expected 4: at any other ONNX Runtime dequantises the whole matrix in "
          "every call "
          "and runs about twenty times slower than float32");
}

TEST_F(RecipeFile, SpecsAndRulesThatAreNoneAreRefused) {
  const std::string grammar =
      ", expected fp32, fp16, w8a8, or int8, int4 or int2 with -blockN, -grid|rtn|kquant|hqq|gptq and -sym or -asym "
      "behind "
      "it, "
      "in that order and each if wanted, as in int4-block64-grid-asym";
  for (const char* spec : {"int4-grid-block64", "int4-block", "int4-", "fp16-grid", "int4-block64x", "int4-asym-grid"})
    EXPECT_EQ(refusal_of("int4", {.text = spec}), "--text is \"" + std::string(spec) + "\"" + grammar);
  EXPECT_EQ(refusal_of("int4", {.text = "int4-hqq-sym"}),
            "hqq is asymmetric alone: it is the zero point that it moves");
  EXPECT_EQ(refusal_of("int4", {.tensors = {"mlp_down"}}),
            "--tensor is \"mlp_down\", expected ROLE=SPEC or ROLE@LAYERS=SPEC, as in mlp_down@0..3,-1=int8");
  EXPECT_EQ(
      refusal_of("int4", {.tensors = {"norm=int8"}}),
      "--tensor names the role \"norm\", expected one of attention_q, attention_k, attention_v, attention_o, "
      "mlp_gate, mlp_up, mlp_down, lm_head, embedding, vision_qkv, vision_proj, vision_fc1, vision_fc2, vision_merger");
  EXPECT_EQ(refusal_of("int4", {.tensors = {"mlp_up@1..x=int8"}}),
            "--tensor has the layers \"1..x\", expected a number, or two with .. between them; -1 is the last");
  EXPECT_EQ(refusal_of("int4", {.tensors = {"lm_head@3=int8"}}),
            "--tensor gives layers to lm_head, which has none of the language model's");
  EXPECT_EQ(refusal_of("int4", {.tensors = {"mlp_up=int9"}}),
            "--tensor of mlp_up is \"int9\", expected fp32, fp16, int8, int4, int2, w8a8");
  EXPECT_EQ(refusal_of("int4", {.tensors = {"vision_qkv@0=w8a8"}}),
            "--tensor gives layers to vision_qkv, which has none of the language model's");
  EXPECT_EQ(refusal_of("int4", {.tensors = {"vision_fc1=int8-sym"}}),
            "the recipe int4 gives int8-block128-rtn-sym to vision_fc1, expected fp32, fp16 or w8a8: the visual tower "
            "has no weights in blocks");
  EXPECT_EQ(
      refusal_of("int4", {.embedding = "w8a8"}),
      "the recipe int4 gives w8a8 to the embedding, which is looked up and multiplied by nothing; int8 is for it");
  EXPECT_EQ(refusal_of("int4", {.importance = "much"}),
            "--importance is \"much\", expected none, weights or calibration");
  const auto file = [](const char* part) {
    return fmt::format(
        R"({{"target": "cpu", "text": {{"precision": "int4", "logits": "last"{}}}, "embedding": {{"precision": "fp32"}},
            "vision": {{"precision": "fp32"}}}})",
        part);
  };
  EXPECT_EQ(refusal(file("}, \"tensors\": {\"mlp_up\": \"int8\"")),
            origin() + "tensors is an object, expected a list of ROLE[@LAYERS]=SPEC");
  EXPECT_EQ(refusal(file(", \"zero_points\": \"float\"")),
            origin() +
                "text.zero_points is not for a recipe to choose: zero points are integers, since with float ones "
                "ONNX Runtime dequantises the whole matrix in every call and runs fifteen times slower");
}

TEST(Recipes, LayersThatTheModelHasNotAreRefused) {
  const auto rule = parse_rule("--tensor", "mlp_up@2..36=int8");
  EXPECT_NO_THROW(check_layers(rule, 37));
  EXPECT_EQ(q3vl::refusal(ErrorKind::usage, [&] { check_layers(rule, 36); }),
            "the rule mlp_up@2..36=int8-block128-rtn-sym names the layers 2..36, but the model has layers 0 to 35");
  EXPECT_EQ(q3vl::refusal(ErrorKind::usage, [] { check_layers(parse_rule("--tensor", "mlp_up@-3=fp16"), 2); }),
            "the rule mlp_up@-3=fp16 names the layers -3, but the model has layers 0 to 1");
}

TEST_F(RecipeFile, TwoBitsAtAnotherAccuracyLevelAreRefusedWhereverTheyStand) {
  std::ofstream(path_) << R"({"target": "cpu", "text": {"precision": "int4", "accuracy_level": 0, "logits": "last"},
             "embedding": {"precision": "int8"}, "vision": {"precision": "fp32"}, "tensors": ["mlp_up@1=int2"]})";
  EXPECT_EQ(refusal_of(path_.string(), {}),
            "the recipe " + path_.string() +
                " gives int2 the accuracy_level 0, expected 4: at any other ONNX Runtime dequantises the whole matrix "
                "in every call and runs about twenty times slower than float32");
}

TEST_F(RecipeFile, GptqNeedsACalibration) {
  EXPECT_EQ(refusal_of("int4", {.text = "int4-gptq"}),
            "the recipe int4 gives gptq to lm_head, but it is for the matrices of the layers; another for this one is "
            "--tensor lm_head=int8");
  EXPECT_EQ(refusal_of("int4", {.tensors = {"mlp_down=int4-gptq"}}),
            "the recipe int4 quantises by gptq, which needs a calibration: --calibration FILE, or --calibrate DIR to "
            "make one");
}

}  // namespace
}  // namespace q3vl::recipe_test
