# Writes the table of compiled-in recipes from configs/recipes/*.json.
file(GLOB names RELATIVE ${CMAKE_SOURCE_DIR}/configs/recipes CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/configs/recipes/*.json)
list(TRANSFORM names REPLACE "\\.json$" "")
list(SORT names)  # without the ending: int4 before int4-rtn
set(rows "")
foreach(name IN LISTS names)
  set(file ${CMAKE_SOURCE_DIR}/configs/recipes/${name}.json)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  file(READ ${file} text)
  string(APPEND rows "    {\"${name}\", R\"json(${text})json\"},\n")
endforeach()
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/builtin_recipes.cpp @ONLY CONTENT
"#include \"recipe/builtin_recipes.h\"

namespace q3vl {
namespace {

constexpr BuiltinRecipe kTable[] = {
@rows@};

}  // namespace

const std::span<const BuiltinRecipe> kBuiltinRecipes = kTable;

}  // namespace q3vl
")
