#include "quant/quantizer.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <vector>

#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

constexpr std::array kQuantizers = {
    Quantizer{"grid", choose_grid, true, false, true, "the least squared error over sizes of the range"},
    Quantizer{"rtn", choose_nearest, true, false, false, "round to nearest over the whole range"},
    Quantizer{"kquant", choose_kquant, true, false, true, "ggml's k-quant search"},
    Quantizer{"hqq", choose_hqq, false, false, false, "half-quadratic: the zero point moves"},
    Quantizer{"gptq", choose_grid, true, true, true, "grid, and errors are made good by later columns"},
};

}  // namespace

std::span<const Quantizer> quantizers() {
  return kQuantizers;
}

const Quantizer& quantizer(std::string_view name) {
  const auto found = std::ranges::find(kQuantizers, name, &Quantizer::name);
  if (found != kQuantizers.end()) return *found;
  std::vector<std::string_view> names;
  for (const Quantizer& each : kQuantizers) names.push_back(each.name);
  throw Error(ErrorKind::usage,
              fmt::format("the quantizer \"{}\" is not known; known are {}", name, fmt::join(names, ", ")));
}

}  // namespace q3vl
