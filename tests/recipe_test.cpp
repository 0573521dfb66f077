// Recipes: names, files, overrides, and what is refused, word for word.
#include "recipe/recipe.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "support/refusal.h"
#include "support/temporary_folder.h"

namespace q3vl {
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

class Int4Recipe : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Both, Int4Recipe, testing::Values("int4", "int4-rtn"),
                         [](const auto& name) { return name.index == 0 ? "Default" : "RoundToNearest"; });

TEST_P(Int4Recipe, QuantizesTheDecoderAndStoresEverythingElse) {
  const Recipe recipe = resolve_recipe(GetParam(), {});
  const EncodingPolicy policy = recipe.policy();
  const Encoding int4{.format = Encoding::Format::block_quantized, .bits = 4, .block_size = 32, .quantizer = "rtn"};
  for (const Role role : {Role::attention_q, Role::attention_k, Role::attention_v, Role::attention_o, Role::mlp_gate,
                          Role::mlp_up, Role::mlp_down, Role::lm_head})
    EXPECT_EQ(policy(role), int4) << name_of(role);
  for (const Role role : {Role::embedding, Role::vision_linear, Role::vision_vector, Role::vision_table})
    EXPECT_EQ(policy(role), Encoding{}) << name_of(role);
  EXPECT_EQ(policy(Role::norm).format, Encoding::Format::float32);
  EXPECT_EQ(recipe.accuracy_level, 4);
  EXPECT_EQ(recipe.logits, Logits::last);
}

TEST_F(RecipeFile, OverridesChangeWhatTheyName) {
  const Recipe recipe = resolve_recipe(
      "fp32", {.target = "", .text = "int8", .embedding = "int4", .vision = "fp16", .logits = "all", .block_size = 64});
  EXPECT_EQ(recipe.text.encoding(),
            (Encoding{.format = Encoding::Format::block_quantized, .bits = 8, .block_size = 64, .quantizer = "rtn"}));
  EXPECT_EQ(recipe.embedding.encoding(),
            (Encoding{.format = Encoding::Format::block_quantized, .bits = 4, .block_size = 64, .quantizer = "rtn"}));
  EXPECT_EQ(recipe.policy()(Role::vision_linear).format, Encoding::Format::float16);
  EXPECT_EQ(recipe.accuracy_level, 4);
  EXPECT_EQ(recipe.logits, Logits::all);
  EXPECT_EQ(resolve_recipe("int4", {.target = {}, .text = "fp32", .embedding = {}, .vision = {}, .logits = {}})
                .to_json()["text"]
                .dump(),
            R"({"precision":"fp32","logits":"last"})");
}

TEST_F(RecipeFile, AResolvedRecipeIsARecipe) {
  const Recipe first = resolve_recipe(
      "int4", {.target = {}, .text = {}, .embedding = "int8", .vision = {}, .logits = {}, .block_size = 128});
  std::ofstream(path_) << first.to_json().dump();
  EXPECT_EQ(resolve_recipe(path_.string(), {}).to_json(), first.to_json());
}

TEST_F(RecipeFile, UnknownThingsAreRefused) {
  EXPECT_EQ(
      refusal_of("int5", {}),
      "the recipe \"int5\" is not known; known are fp16, fp32, int4, int4-rtn, int8, or the path of a recipe file");
  EXPECT_EQ(refusal_of("./none.json", {}), "./none.json: cannot open: No such file or directory");
  EXPECT_EQ(refusal_of("int4", {.target = "tpu", .text = {}, .embedding = {}, .vision = {}, .logits = {}}),
            "--target is \"tpu\", expected cpu, the only target there is");
  EXPECT_EQ(refusal_of("int4", {.target = {}, .text = "int2", .embedding = {}, .vision = {}, .logits = {}}),
            "--text is \"int2\", expected fp32, fp16, int8, int4");
  EXPECT_EQ(refusal_of("int4", {.target = {}, .text = {}, .embedding = {}, .vision = "int8", .logits = {}}),
            "--vision is \"int8\", expected fp32, fp16");
  EXPECT_EQ(refusal_of("int4", {.target = {}, .text = {}, .embedding = {}, .vision = {}, .logits = "none"}),
            "--logits is \"none\", expected last or all");
  EXPECT_EQ(
      refusal_of("int4", {.target = {}, .text = {}, .embedding = {}, .vision = {}, .logits = {}, .block_size = 48}),
      "the block size is 48, expected one of 16, 32, 64, 128, 256: ONNX Runtime's MatMulNBits takes no other");
  EXPECT_EQ(
      refusal_of("fp32", {.target = {}, .text = {}, .embedding = {}, .vision = {}, .logits = {}, .block_size = 32}),
      "--block-size 32 goes with int8 and int4, but nothing is quantised here");
  EXPECT_EQ(
      refusal(
          R"({"target": "cpu", "text": {"precision": "fp32", "logits": "last"}, "embedding": {"precision": "fp32"}, "vision": {"precision": "fp32"}, "extra": 1})"),
      origin() + "extra is not a known key; known here: description, target, text, embedding, vision");
  EXPECT_EQ(
      refusal(
          R"({"target": "cpu", "text": {"precision": "fp32", "bits": 4, "logits": "last"}, "embedding": {"precision": "fp32"}, "vision": {"precision": "fp32"}})"),
      origin() + "text.bits is not a known key; known here: precision, block_size, quantizer, accuracy_level, logits");
  EXPECT_EQ(
      refusal(
          R"({"target": "cpu", "text": {"precision": "int4", "quantizer": "best", "logits": "last"}, "embedding": {"precision": "fp32"}, "vision": {"precision": "fp32"}})"),
      "the quantizer \"best\" is not known; known is: rtn");
}

TEST_F(RecipeFile, KeysThatSayNothingAreRefused) {
  EXPECT_EQ(
      refusal(
          R"({"target": "cpu", "text": {"precision": "fp32", "block_size": 32, "logits": "last"}, "embedding": {"precision": "fp32"}, "vision": {"precision": "fp32"}})"),
      origin() + "text.block_size goes with the precisions int8 and int4, but text.precision is \"fp32\"");
  EXPECT_EQ(
      refusal(
          R"({"target": "cpu", "text": {"precision": "fp16", "accuracy_level": 4, "logits": "last"}, "embedding": {"precision": "fp32"}, "vision": {"precision": "fp32"}})"),
      origin() + "text.accuracy_level goes with the precisions int8 and int4");
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

}  // namespace
}  // namespace q3vl
