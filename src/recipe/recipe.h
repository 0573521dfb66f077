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

namespace q3vl {

/// Weights of one component. fp32 keeps the checkpoint's own bits (bf16, fp16 or fp32) and widens them when the graph
/// is loaded; fp16 rounds them; int8 and int4 quantise them in blocks. Arithmetic is the target's in every case.
enum class Precision { fp32, fp16, int8, int4 };

enum class Logits { last, all };

struct QuantizedPrecision {
  Precision precision = Precision::fp32;
  int block_size = 0;     ///< 0 unless int8 or int4
  std::string quantizer;  ///< empty unless int8 or int4

  bool quantized() const { return precision == Precision::int8 || precision == Precision::int4; }
  Encoding encoding() const;
};

struct Recipe {
  std::string name;  ///< as the user gave it: a name or a path
  std::string description;
  std::string target;
  QuantizedPrecision text;  ///< every matrix of the language model, and lm_head
  int accuracy_level = 0;   ///< of MatMulNBits; 0 unless text is int8 or int4
  Logits logits = Logits::last;
  QuantizedPrecision embedding;
  Precision vision = Precision::fp32;

  /// Which encoding each role gets.
  EncodingPolicy policy() const;

  /// The resolved recipe with the keys of a recipe file.
  OrderedJson to_json() const;
};

/// What the command line changes of a recipe; empty or 0: nothing.
struct RecipeOverrides {
  std::string target;
  std::string text;       ///< fp32, fp16, int8, int4
  std::string embedding;  ///< fp32, fp16, int8, int4
  std::string vision;     ///< fp32, fp16
  std::string logits;     ///< last, all
  int block_size = 0;     ///< of every component that is quantised
};

/// The recipe compiled in under `name_or_path`, or read from a file when it has a "/" or ends in ".json": a recipe
/// file, or a package's manifest.json, which holds the recipe that it was made with. Then changed and checked. Throws
/// Error(usage): unknown names, unknown keys, and combinations that ONNX Runtime runs badly or not at all, with the
/// reason.
Recipe resolve_recipe(const std::string& name_or_path, const RecipeOverrides& overrides);

}  // namespace q3vl
