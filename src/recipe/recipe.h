// What a package is to look like: precision by component, how it is quantised, which logits it gives.
//
// Recipes are JSON files; those of configs/recipes/ are compiled in and chosen by name. docs/RECIPES.md lists the keys.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "quant/weight_requests.h"
#include "qwen3vl_export/export.h"
#include "recipe/tensor_rule.h"
#include "recipe/tensor_spec.h"

namespace q3vl {

enum class Logits { last, all };

/// What keys and values of past tokens are kept as: the target's floats, or int8.
enum class KvCacheType { floats, int8 };

/// Where quantisers learn which columns matter: nowhere; from the checkpoint's own weights; from a calibration.
enum class ImportanceSource { none, weights, calibration };

struct Recipe {
  std::string name;  ///< as the user gave it: a name or a path
  std::string description;
  std::string target;
  TensorSpec text;         ///< every matrix of the language model, and lm_head
  int accuracy_level = 0;  ///< of MatMulNBits; 0 unless some matrix of the language model is in blocks
  Logits logits = Logits::last;
  KvCacheType kv_cache = KvCacheType::floats;
  TensorSpec embedding;
  Precision vision = Precision::fp32;  ///< fp32, fp16 or w8a8
  std::vector<TensorRule> tensors;     ///< of those that cover a tensor the last one counts
  ImportanceSource importance = ImportanceSource::none;

  /// What each weight of a model of `layer_count` layers is stored as.
  EncodingPolicy policy(std::int64_t layer_count) const;

  /// Whether any matrix that MatMulNBits multiplies by is quantised.
  bool quantizes_text() const;

  /// Whether a quantiser of it needs a calibration's feedback factors.
  bool needs_feedback() const;

  /// The resolved recipe with the keys of a recipe file.
  OrderedJson to_json() const;
};

/// What the command line changes of a recipe; empty or 0: nothing.
struct RecipeOverrides {
  std::string target = {};
  std::string text = {};                  ///< a spec; it replaces the recipe's rules for tensors too
  std::string embedding = {};             ///< a spec
  std::string vision = {};                ///< fp32, fp16, int8
  std::string logits = {};                ///< last, all
  std::string kv_cache = {};              ///< float, int8
  int block_size = 0;                     ///< of everything that is quantised
  std::vector<std::string> tensors = {};  ///< rules, after the recipe's
  std::string importance = {};            ///< none, weights, calibration
};

/// The recipe compiled in under `name_or_path`, or read from a file when it has a "/" or ends in ".json": a recipe
/// file, or a package's manifest.json, which holds the recipe that it was made with. Then changed and checked. Throws
/// Error(usage): unknown names, unknown keys, and combinations that ONNX Runtime runs badly or not at all, with the
/// reason.
Recipe resolve_recipe(const std::string& name_or_path, const RecipeOverrides& overrides);

/// The same for the text of a recipe file or manifest, whose name is `name`.
Recipe resolve_recipe_text(const std::string& text, const std::string& name, const RecipeOverrides& overrides);

}  // namespace q3vl
