#include "recipe/recipe.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "base/file.h"
#include "quant/quantizer.h"
#include "recipe/builtin_recipes.h"
#include "target/target.h"

namespace q3vl {
namespace {

constexpr std::array kBlockSizes = {16, 32, 64, 128, 256};
constexpr int kDefaultBlockSize = 32;
constexpr std::string_view kDefaultQuantizer = "rtn";
constexpr int kDefaultAccuracyLevel = 4;

constexpr std::array<std::pair<std::string_view, Precision>, 4> kPrecisions = {
    {{"fp32", Precision::fp32}, {"fp16", Precision::fp16}, {"int8", Precision::int8}, {"int4", Precision::int4}}};

std::string_view name_of(Precision precision) {
  return std::find_if(kPrecisions.begin(), kPrecisions.end(), [&](const auto& row) { return row.second == precision; })
      ->first;
}

[[noreturn]] void refuse(const std::string& message) {
  throw Error(ErrorKind::usage, message);
}

Precision parse_precision(const std::string& what, const std::string& name, std::size_t allowed = kPrecisions.size()) {
  std::vector<std::string_view> names;
  for (std::size_t i = 0; i < allowed; ++i) {
    if (kPrecisions[i].first == name) return kPrecisions[i].second;
    names.push_back(kPrecisions[i].first);
  }
  refuse(fmt::format("{} is \"{}\", expected {}", what, name, fmt::join(names, ", ")));
}

Logits parse_logits(const std::string& what, const std::string& name) {
  if (name == "last") return Logits::last;
  if (name == "all") return Logits::all;
  refuse(fmt::format("{} is \"{}\", expected last or all", what, name));
}

/// block_size and quantizer belong to int8 and int4 alone: elsewhere they would say something that is not so.
QuantizedPrecision parse_quantized(const JsonObject& object, const std::string& what) {
  QuantizedPrecision result;
  result.precision = parse_precision(what + ".precision", object.string("precision"));
  for (const std::string_view key : {"block_size", "quantizer"})
    if (object.has(key) && !result.quantized())
      object.fail(fmt::format("{} goes with the precisions int8 and int4, but {}.precision is \"{}\"",
                              object.path_of(key), what, name_of(result.precision)));
  if (result.quantized()) {
    result.block_size =
        object.has("block_size") ? static_cast<int>(object.integer("block_size", 1, 1 << 20)) : kDefaultBlockSize;
    result.quantizer = object.has("quantizer") ? object.string("quantizer") : kDefaultQuantizer;
  }
  return result;
}

Recipe parse_recipe(const std::string& text, const std::string& name) {
  const std::string origin = "recipe " + name;
  const Json document = parse_json(text, origin, ErrorKind::usage);
  const JsonObject file(document, origin, "", ErrorKind::usage);
  // A manifest holds the resolved recipe of its package, and the name that it had.
  const bool is_manifest = file.has("recipe") && file.has("recipe_name");
  const JsonObject root = is_manifest ? file.object("recipe") : file;
  root.expect_only({"description", "target", "text", "embedding", "vision"});
  const JsonObject text_part = root.object("text");
  const JsonObject embedding = root.object("embedding");
  const JsonObject vision = root.object("vision");
  text_part.expect_only({"precision", "block_size", "quantizer", "accuracy_level", "logits"});
  embedding.expect_only({"precision", "block_size", "quantizer"});
  vision.expect_only({"precision"});

  Recipe recipe;
  recipe.name = is_manifest ? file.string("recipe_name") : name;
  recipe.description = root.has("description") ? root.string("description") : "";
  recipe.target = root.string("target");
  recipe.text = parse_quantized(text_part, "text");
  if (text_part.has("accuracy_level") && !recipe.text.quantized())
    text_part.fail("text.accuracy_level goes with the precisions int8 and int4");
  if (recipe.text.quantized())
    recipe.accuracy_level = text_part.has("accuracy_level")
                                ? static_cast<int>(text_part.integer("accuracy_level", 0, 4))
                                : kDefaultAccuracyLevel;
  recipe.logits = parse_logits("text.logits", text_part.string("logits"));
  recipe.embedding = parse_quantized(embedding, "embedding");
  recipe.vision = parse_precision("vision.precision", vision.string("precision"), 2);
  return recipe;
}

void set_precision(QuantizedPrecision& part, Precision precision) {
  const bool was_quantized = part.quantized();
  part.precision = precision;
  if (part.quantized() && !was_quantized) {
    part.block_size = kDefaultBlockSize;
    part.quantizer = kDefaultQuantizer;
  }
  if (!part.quantized()) {
    part.block_size = 0;
    part.quantizer.clear();
  }
}

void apply(const RecipeOverrides& overrides, Recipe& recipe) {
  if (!overrides.target.empty()) recipe.target = overrides.target;
  if (!overrides.text.empty()) {
    const bool was_quantized = recipe.text.quantized();
    set_precision(recipe.text, parse_precision("--text", overrides.text));
    if (recipe.text.quantized() != was_quantized)
      recipe.accuracy_level = recipe.text.quantized() ? kDefaultAccuracyLevel : 0;
  }
  if (!overrides.embedding.empty())
    set_precision(recipe.embedding, parse_precision("--embedding", overrides.embedding));
  if (!overrides.vision.empty()) recipe.vision = parse_precision("--vision", overrides.vision, 2);
  if (!overrides.logits.empty()) recipe.logits = parse_logits("--logits", overrides.logits);
  if (overrides.block_size == 0) return;
  if (!recipe.text.quantized() && !recipe.embedding.quantized())
    refuse(fmt::format("--block-size {} goes with int8 and int4, but nothing is quantised here", overrides.block_size));
  for (QuantizedPrecision* part : {&recipe.text, &recipe.embedding})
    if (part->quantized()) part->block_size = overrides.block_size;
}

void check(const Recipe& recipe) {
  target_profile(recipe.target);
  for (const QuantizedPrecision& part : {recipe.text, recipe.embedding}) {
    if (!part.quantized()) continue;
    if (std::find(kBlockSizes.begin(), kBlockSizes.end(), part.block_size) == kBlockSizes.end())
      refuse(fmt::format("the block size is {}, expected one of {}: ONNX Runtime's MatMulNBits takes no other",
                         part.block_size, fmt::join(kBlockSizes, ", ")));
    quantizer(part.quantizer);
  }
  if (recipe.text.precision == Precision::int8 && recipe.accuracy_level != 4)
    refuse(
        fmt::format("the recipe {} gives int8 the accuracy_level {}, expected 4: at any other ONNX Runtime dequantises "
                    "the whole matrix in "
                    "every call and runs about twenty times slower than float32",
                    recipe.name, recipe.accuracy_level));
}

OrderedJson to_json(const QuantizedPrecision& part) {
  OrderedJson json = {{"precision", name_of(part.precision)}};
  if (part.quantized()) {
    json["block_size"] = part.block_size;
    json["quantizer"] = part.quantizer;
  }
  return json;
}

}  // namespace

Encoding QuantizedPrecision::encoding() const {
  switch (precision) {
    case Precision::fp32:
      return {.format = Encoding::Format::stored, .quantizer = {}};
    case Precision::fp16:
      return {.format = Encoding::Format::float16, .quantizer = {}};
    case Precision::int8:
    case Precision::int4:
      break;
  }
  return {.format = Encoding::Format::block_quantized,
          .bits = precision == Precision::int4 ? 4 : 8,
          .block_size = block_size,
          .quantizer = quantizer};
}

EncodingPolicy Recipe::policy() const {
  return [*this](Role role) -> Encoding {
    switch (role) {
      case Role::embedding:
        return embedding.encoding();
      // Widening a few thousand gains is exact and saves the graph a Cast for each vector.
      case Role::norm:
        return {.format = Encoding::Format::float32, .quantizer = {}};
      case Role::vision_vector:
        return {.format = Encoding::Format::stored, .quantizer = {}};
      case Role::vision_linear:
      case Role::vision_table:
        return QuantizedPrecision{vision, 0, {}}.encoding();
      default:
        return text.encoding();
    }
  };
}

OrderedJson Recipe::to_json() const {
  OrderedJson text_part = q3vl::to_json(text);
  if (text.quantized()) text_part["accuracy_level"] = accuracy_level;
  text_part["logits"] = logits == Logits::last ? "last" : "all";
  return {{"description", description},
          {"target", target},
          {"text", text_part},
          {"embedding", q3vl::to_json(embedding)},
          {"vision", {{"precision", name_of(vision)}}}};
}

Recipe resolve_recipe(const std::string& name_or_path, const RecipeOverrides& overrides) {
  const bool is_path = name_or_path.find('/') != std::string::npos || name_or_path.ends_with(".json");
  std::string text;
  if (is_path) {
    try {
      text = read_text_file(name_or_path, 1 << 20);
    } catch (const Error& error) {
      refuse(error.what());  // a recipe is a part of the command, not of the checkpoint
    }
  } else {
    std::vector<std::string_view> names;
    for (const BuiltinRecipe& builtin : kBuiltinRecipes) {
      if (builtin.name == name_or_path) text = builtin.json;
      names.push_back(builtin.name);
    }
    if (text.empty())
      refuse(fmt::format("the recipe \"{}\" is not known; known are {}, or the path of a recipe file", name_or_path,
                         fmt::join(names, ", ")));
  }
  Recipe recipe = parse_recipe(text, name_or_path);
  apply(overrides, recipe);
  check(recipe);
  return recipe;
}

std::vector<std::pair<std::string, std::string>> builtin_recipes() {
  std::vector<std::pair<std::string, std::string>> recipes;
  for (const BuiltinRecipe& builtin : kBuiltinRecipes)
    recipes.emplace_back(builtin.name, parse_recipe(std::string(builtin.json), std::string(builtin.name)).description);
  return recipes;
}

}  // namespace q3vl
