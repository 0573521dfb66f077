# Writes the table of compiled-in recipes from configs/recipes/*.json.
file(GLOB recipe_files CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/configs/recipes/*.json)
set(rows "")
foreach(file IN LISTS recipe_files)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  get_filename_component(name ${file} NAME_WE)
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
