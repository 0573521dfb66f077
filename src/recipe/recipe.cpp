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

constexpr int kDefaultAccuracyLevel = 4;

[[noreturn]] void refuse(const std::string& message) {
  throw Error(ErrorKind::usage, message);
}

constexpr std::array<std::pair<std::string_view, ImportanceSource>, 3> kImportances = {
    {{"none", ImportanceSource::none},
     {"weights", ImportanceSource::weights},
     {"calibration", ImportanceSource::calibration}}};

ImportanceSource parse_importance(const std::string& what, const std::string& name) {
  for (const auto& [known, source] : kImportances)
    if (known == name) return source;
  refuse(fmt::format("{} is \"{}\", expected none, weights or calibration", what, name));
}

std::string_view name_of(ImportanceSource source) {
  return std::ranges::find(kImportances, source, [](const auto& row) { return row.second; })->first;
}

Logits parse_logits(const std::string& what, const std::string& name) {
  if (name == "last") return Logits::last;
  if (name == "all") return Logits::all;
  refuse(fmt::format("{} is \"{}\", expected last or all", what, name));
}

KvCacheType parse_kv_cache(const std::string& what, const std::string& name) {
  if (name == "float") return KvCacheType::floats;
  if (name == "int8") return KvCacheType::int8;
  refuse(fmt::format("{} is \"{}\", expected float or int8", what, name));
}

// The tower has no weights in blocks: int8 is w8a8 there.
constexpr std::array<std::pair<std::string_view, Precision>, 3> kVisionPrecisions = {
    {{"fp32", Precision::fp32}, {"fp16", Precision::fp16}, {"int8", Precision::w8a8}}};

Precision parse_vision(const std::string& what, const std::string& name) {
  for (const auto& [known, precision] : kVisionPrecisions)
    if (known == name) return precision;
  refuse(fmt::format("{} is \"{}\", expected fp32, fp16 or int8", what, name));
}

std::string_view vision_name(Precision precision) {
  return std::ranges::find(kVisionPrecisions, precision, [](const auto& row) { return row.second; })->first;
}

/// The rules of a recipe file: a list of strings.
std::vector<TensorRule> parse_rules(const JsonObject& root) {
  std::vector<TensorRule> rules;
  if (!root.has("tensors")) return rules;
  const Json& list = root.json().at("tensors");
  if (!list.is_array()) root.fail(fmt::format("tensors is {}, expected a list of ROLE[@LAYERS]=SPEC", describe(list)));
  for (const Json& text : list) {
    if (!text.is_string())
      root.fail(fmt::format("tensors holds {}, expected strings as ROLE[@LAYERS]=SPEC", describe(text)));
    rules.push_back(parse_rule(root.origin() + ": tensors", text.get<std::string>()));
  }
  return rules;
}

Recipe parse_recipe(const std::string& text, const std::string& name) {
  const std::string origin = "recipe " + name;
  const Json document = parse_json(text, origin, ErrorKind::usage);
  const JsonObject file(document, origin, "", ErrorKind::usage);
  // A manifest holds the resolved recipe of its package, and the name that it had.
  const bool is_manifest = file.has("recipe") && file.has("recipe_name");
  const JsonObject root = is_manifest ? file.object("recipe") : file;
  root.expect_only({"description", "target", "text", "embedding", "vision", "tensors", "importance"});
  const JsonObject text_part = root.object("text");
  const JsonObject embedding = root.object("embedding");
  const JsonObject vision = root.object("vision");
  for (const JsonObject& part : {text_part, embedding})
    if (part.has("zero_points"))
      part.fail(
          fmt::format("{} is not for a recipe to choose: zero points are integers, since with float ones ONNX "
                      "Runtime dequantises the whole matrix in every call and runs fifteen times slower",
                      part.path_of("zero_points")));
  text_part.expect_only({"precision", "block_size", "quantizer", "symmetric", "accuracy_level", "logits", "kv_cache"});
  embedding.expect_only({"precision", "block_size", "quantizer", "symmetric"});
  vision.expect_only({"precision"});

  Recipe recipe;
  recipe.name = is_manifest ? file.string("recipe_name") : name;
  recipe.description = root.has("description") ? root.string("description") : "";
  recipe.target = root.string("target");
  recipe.text = parse_spec(text_part, "text");
  recipe.tensors = parse_rules(root);
  if (text_part.has("accuracy_level") && !recipe.quantizes_text())
    text_part.fail("text.accuracy_level goes with the precisions int8, int4 and int2");
  if (recipe.quantizes_text())
    recipe.accuracy_level = text_part.has("accuracy_level")
                                ? static_cast<int>(text_part.integer("accuracy_level", 0, 4))
                                : kDefaultAccuracyLevel;
  recipe.logits = parse_logits("text.logits", text_part.string("logits"));
  if (text_part.has("kv_cache")) recipe.kv_cache = parse_kv_cache("text.kv_cache", text_part.string("kv_cache"));
  recipe.embedding = parse_spec(embedding, "embedding");
  recipe.vision = parse_vision("vision.precision", vision.string("precision"));
  if (root.has("importance")) recipe.importance = parse_importance("importance", root.string("importance"));
  return recipe;
}

void apply(const RecipeOverrides& overrides, Recipe& recipe) {
  if (!overrides.target.empty()) recipe.target = overrides.target;
  if (!overrides.text.empty()) {
    recipe.text = parse_spec("--text", overrides.text);
    recipe.tensors.clear();
  }
  if (!overrides.embedding.empty()) recipe.embedding = parse_spec("--embedding", overrides.embedding);
  if (!overrides.vision.empty()) recipe.vision = parse_vision("--vision", overrides.vision);
  if (!overrides.logits.empty()) recipe.logits = parse_logits("--logits", overrides.logits);
  if (!overrides.kv_cache.empty()) recipe.kv_cache = parse_kv_cache("--kv-cache", overrides.kv_cache);
  if (!overrides.importance.empty()) recipe.importance = parse_importance("--importance", overrides.importance);
  if (overrides.block_size != 0) {
    std::vector<TensorSpec*> specs = {&recipe.text, &recipe.embedding};
    for (TensorRule& rule : recipe.tensors) specs.push_back(&rule.spec);
    std::erase_if(specs, [](const TensorSpec* spec) { return !spec->in_blocks(); });
    if (specs.empty())
      refuse(fmt::format("--block-size {} goes with int8, int4 and int2, but nothing is quantised in blocks here",
                         overrides.block_size));
    for (TensorSpec* spec : specs) spec->block_size = overrides.block_size;
  }
  for (const std::string& rule : overrides.tensors) recipe.tensors.push_back(parse_rule("--tensor", rule));
  if (!recipe.quantizes_text())
    recipe.accuracy_level = 0;
  else if (recipe.accuracy_level == 0 && !overrides.text.empty())
    recipe.accuracy_level = kDefaultAccuracyLevel;
}

/// The specs of the matrices that MatMulNBits may multiply by.
std::vector<TensorSpec> text_specs(const Recipe& recipe) {
  std::vector<TensorSpec> specs = {recipe.text};
  for (const TensorRule& rule : recipe.tensors)
    if (rule.role != Role::embedding && !is_vision(rule.role)) specs.push_back(rule.spec);
  return specs;
}

void check(const Recipe& recipe) {
  target_profile(recipe.target);
  check_spec(recipe.text);
  check_spec(recipe.embedding);
  for (const TensorRule& rule : recipe.tensors) {
    check_spec(rule.spec);
    if (is_vision(rule.role) && rule.spec.in_blocks())
      refuse(
          fmt::format("the recipe {} gives {} to {}, expected fp32, fp16 or w8a8: the visual tower has no weights in "
                      "blocks",
                      recipe.name, to_string(rule.spec), name_of(rule.role)));
  }
  if (recipe.policy(1)(Role::embedding).format == Encoding::Format::w8a8)
    refuse(
        fmt::format("the recipe {} gives w8a8 to the embedding, which is looked up and multiplied by nothing; int8 "
                    "is for it",
                    recipe.name));
  for (const TensorSpec& spec : text_specs(recipe))
    if ((spec.precision == Precision::int8 || spec.precision == Precision::int2) && recipe.accuracy_level != 4)
      refuse(
          fmt::format("the recipe {} gives {} the accuracy_level {}, expected 4: at any other ONNX Runtime dequantises "
                      "the whole matrix in every call and runs about twenty times slower than float32",
                      recipe.name, name_of(spec.precision), recipe.accuracy_level));
  for (const Role role : {Role::lm_head, Role::embedding}) {
    const Encoding encoding = recipe.policy(1)(role);
    if (encoding.in_blocks() && quantizer(encoding.quantizer).feedback)
      refuse(
          fmt::format("the recipe {} gives {} to {}, but it is for the matrices of the layers; another for this one "
                      "is --tensor {}=int8",
                      recipe.name, encoding.quantizer, name_of(role), name_of(role)));
  }
  if (recipe.needs_feedback() && recipe.importance != ImportanceSource::calibration)
    refuse(
        fmt::format("the recipe {} quantises by gptq, which needs a calibration: --calibration FILE, or --calibrate "
                    "DIR to make one",
                    recipe.name));
}

}  // namespace

EncodingPolicy Recipe::policy(std::int64_t layer_count) const {
  return [*this, layer_count](const WeightUse& use) -> Encoding {
    for (auto rule = tensors.rbegin(); rule != tensors.rend(); ++rule)
      if (rule->covers(use, layer_count)) return rule->spec.encoding();
    switch (use.role) {
      case Role::embedding:
        return embedding.encoding();
      // Widening a few thousand gains is exact and saves the graph a Cast for each vector.
      case Role::norm:
        return {.format = Encoding::Format::float32};
      case Role::vision_vector:
        return {.format = Encoding::Format::stored};
      case Role::value_norms:
        return {.format = Encoding::Format::row_norms};
      case Role::vision_patch_embed:
      case Role::vision_table:
        // Pixels are few, and what is added to them reaches every block.
        return default_spec(vision == Precision::w8a8 ? Precision::fp32 : vision).encoding();
      case Role::vision_qkv:
      case Role::vision_proj:
      case Role::vision_fc1:
      case Role::vision_fc2:
      case Role::vision_merger:
        return default_spec(vision).encoding();
      default:
        return text.encoding();
    }
  };
}

bool Recipe::quantizes_text() const {
  return std::ranges::any_of(text_specs(*this), &TensorSpec::in_blocks);
}

bool Recipe::needs_feedback() const {
  std::vector<TensorSpec> specs = text_specs(*this);
  specs.push_back(embedding);
  for (const TensorRule& rule : tensors) specs.push_back(rule.spec);
  return std::ranges::any_of(
      specs, [](const TensorSpec& spec) { return spec.in_blocks() && quantizer(spec.quantizer).feedback; });
}

OrderedJson Recipe::to_json() const {
  OrderedJson text_part = q3vl::to_json(text);
  if (quantizes_text()) text_part["accuracy_level"] = accuracy_level;
  text_part["logits"] = logits == Logits::last ? "last" : "all";
  if (kv_cache == KvCacheType::int8) text_part["kv_cache"] = "int8";
  OrderedJson json = {{"description", description},
                      {"target", target},
                      {"text", text_part},
                      {"embedding", q3vl::to_json(embedding)},
                      {"vision", {{"precision", vision_name(vision)}}}};
  if (!tensors.empty()) {
    json["tensors"] = OrderedJson::array();
    for (const TensorRule& rule : tensors) json["tensors"].push_back(to_string(rule));
  }
  if (importance != ImportanceSource::none) json["importance"] = name_of(importance);
  return json;
}

Recipe resolve_recipe_text(const std::string& text, const std::string& name, const RecipeOverrides& overrides) {
  Recipe recipe = parse_recipe(text, name);
  apply(overrides, recipe);
  check(recipe);
  return recipe;
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
  return resolve_recipe_text(text, name_or_path, overrides);
}

std::vector<std::pair<std::string, std::string>> builtin_recipes() {
  std::vector<std::pair<std::string, std::string>> recipes;
  for (const BuiltinRecipe& builtin : kBuiltinRecipes)
    recipes.emplace_back(builtin.name, parse_recipe(std::string(builtin.json), std::string(builtin.name)).description);
  return recipes;
}

}  // namespace q3vl
