// A line with a rule as --tensor takes it, a line with a spec as --text takes it, each maybe empty, and the text of a
// recipe file or manifest. What is accepted is written and read again as the same, and gives every weight an encoding.
#include "fuzz.h"
#include "recipe/recipe.h"

namespace {

using q3vl::fuzz::accepts;
using q3vl::fuzz::expect;

std::string take_line(std::string& text) {
  const std::size_t end = text.find('\n');
  std::string line = text.substr(0, end);
  text.erase(0, end == std::string::npos ? end : end + 1);
  return line;
}

void fuzz_rule(const std::string& text) {
  q3vl::TensorRule rule;
  if (!accepts([&] { rule = q3vl::parse_rule("--tensor", text); })) return;
  const q3vl::TensorRule again = q3vl::parse_rule("written", q3vl::to_string(rule));
  expect(again.role == rule.role && again.layers == rule.layers && again.spec == rule.spec,
         "a rule that is written reads as it did");
  for (const std::int64_t layers : {1, 36}) {
    if (!accepts([&] { q3vl::check_layers(rule, layers); })) continue;
    std::int64_t covered = 0;
    for (std::int64_t layer = 0; layer < layers; ++layer) covered += rule.covers({rule.role, layer}, layers);
    expect(covered > 0, "a rule whose layers are there covers one");
  }
}

void fuzz_spec(const std::string& text) {
  q3vl::TensorSpec spec;
  if (!accepts([&] { spec = q3vl::parse_spec("--text", text); })) return;
  expect(q3vl::parse_spec("written", q3vl::to_string(spec)) == spec, "a spec that is written reads as it did");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string text = q3vl::fuzz::text(data, size);
  const std::string rule = take_line(text);
  const std::string spec = take_line(text);
  fuzz_rule(rule);
  fuzz_spec(spec);
  q3vl::RecipeOverrides overrides{.text = spec};
  if (!rule.empty()) overrides.tensors.push_back(rule);
  for (const q3vl::RecipeOverrides& changes : {q3vl::RecipeOverrides{}, overrides}) {
    q3vl::Recipe recipe;
    if (!accepts([&] { recipe = q3vl::resolve_recipe_text(text, "input", changes); })) continue;
    const std::string written = recipe.to_json().dump();
    expect(q3vl::resolve_recipe_text(written, "written", {}).to_json().dump() == written,
           "a recipe that is written reads as it did");
    const q3vl::EncodingPolicy policy = recipe.policy(2);
    for (const q3vl::Role role : {q3vl::Role::attention_q, q3vl::Role::mlp_down, q3vl::Role::lm_head,
                                  q3vl::Role::embedding, q3vl::Role::norm, q3vl::Role::vision_fc1})
      expect(!q3vl::to_string(policy({role, 1})).empty(), "every weight has an encoding");
  }
  return 0;
}
