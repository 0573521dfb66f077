// The files of configs/recipes/, compiled in. CMake writes the table (cmake/embed_recipes.cmake).
#pragma once

#include <span>
#include <string_view>

namespace q3vl {

struct BuiltinRecipe {
  std::string_view name;  ///< the file's name without ".json"
  std::string_view json;
};

extern const std::span<const BuiltinRecipe> kBuiltinRecipes;

}  // namespace q3vl
