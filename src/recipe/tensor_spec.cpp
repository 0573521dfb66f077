#include "recipe/tensor_spec.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "quant/quantizer.h"
#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

constexpr std::array kBlockSizes = {16, 32, 64, 128, 256};

constexpr std::array<std::pair<std::string_view, Precision>, 6> kPrecisions = {{{"fp32", Precision::fp32},
                                                                                {"fp16", Precision::fp16},
                                                                                {"int8", Precision::int8},
                                                                                {"int4", Precision::int4},
                                                                                {"int2", Precision::int2},
                                                                                {"w8a8", Precision::w8a8}}};

[[noreturn]] void refuse_spec(const std::string& message) {
  throw Error(ErrorKind::usage, message);
}

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words(1);
  for (const char c : text) {
    if (c == '-')
      words.emplace_back();
    else
      words.back() += c;
  }
  return words;
}

int bits_of(Precision precision) {
  switch (precision) {
    case Precision::int8:
      return 8;
    case Precision::int4:
      return 4;
    case Precision::int2:
      return 2;
    default:
      return 0;
  }
}

/// The precision called `name`; `what` is the flag or key that it stands in.
Precision parse_precision(const std::string& what, const std::string& name) {
  std::vector<std::string_view> names;
  for (const auto& [known, precision] : kPrecisions) {
    if (known == name) return precision;
    names.push_back(known);
  }
  refuse_spec(fmt::format("{} is \"{}\", expected {}", what, name, fmt::join(names, ", ")));
}

}  // namespace

Encoding TensorSpec::encoding() const {
  if (precision == Precision::fp32) return {.format = Encoding::Format::stored};
  if (precision == Precision::fp16) return {.format = Encoding::Format::float16};
  if (precision == Precision::w8a8) return {.format = Encoding::Format::w8a8};
  return {.format = Encoding::Format::block_quantized,
          .bits = bits_of(precision),
          .block_size = block_size,
          .symmetric = symmetric,
          .quantizer = quantizer};
}

TensorSpec default_spec(Precision precision) {
  switch (precision) {
    case Precision::int8:
      return {precision, 128, "rtn", true};
    case Precision::int4:
    case Precision::int2:
      return {precision, 32, "grid", false};
    default:
      return {precision};
  }
}

std::string_view name_of(Precision precision) {
  return std::ranges::find(kPrecisions, precision, [](const auto& row) { return row.second; })->first;
}

TensorSpec parse_spec(const std::string& what, const std::string& text) {
  const std::vector<std::string> words = words_of(text);
  TensorSpec spec = default_spec(parse_precision(what, words[0]));
  auto word = words.begin() + 1;
  if (word != words.end() && word->starts_with("block")) {
    const char* const end = word->data() + word->size();
    const auto [stop, error] = std::from_chars(word->data() + 5, end, spec.block_size);
    if (error == std::errc() && stop == end) ++word;
  }
  const auto known = [&](const Quantizer& each) { return word != words.end() && each.name == *word; };
  if (std::ranges::any_of(quantizers(), known)) {
    spec.quantizer = *word++;
    spec.symmetric = spec.symmetric && quantizer(spec.quantizer).symmetric;
  }
  if (word != words.end() && (*word == "sym" || *word == "asym")) spec.symmetric = *word++ == "sym";
  if (word != words.end() || (words.size() > 1 && !spec.in_blocks())) {
    std::vector<std::string_view> names;
    for (const Quantizer& each : quantizers()) names.push_back(each.name);
    refuse_spec(
        fmt::format("{} is \"{}\", expected fp32, fp16, w8a8, or int8, int4 or int2 with -blockN, -{} and -sym or "
                    "-asym behind it, in "
                    "that order and each if wanted, as in int4-block64-grid-asym",
                    what, text, fmt::join(names, "|")));
  }
  check_spec(spec);
  return spec;
}

std::string to_string(const TensorSpec& spec) {
  if (!spec.in_blocks()) return std::string(name_of(spec.precision));
  return to_string(spec.encoding());
}

TensorSpec parse_spec(const JsonObject& object, const std::string& what) {
  TensorSpec spec = default_spec(parse_precision(what + ".precision", object.string("precision")));
  for (const std::string_view key : {"block_size", "quantizer", "symmetric"})
    if (object.has(key) && !spec.in_blocks())
      object.fail(fmt::format("{} goes with the precisions int8, int4 and int2, but {}.precision is \"{}\"",
                              object.path_of(key), what, name_of(spec.precision)));
  if (object.has("block_size")) spec.block_size = static_cast<int>(object.integer("block_size", 1, 1 << 20));
  if (object.has("quantizer")) {
    spec.quantizer = object.string("quantizer");
    spec.symmetric = spec.symmetric && quantizer(spec.quantizer).symmetric;
  }
  if (object.has("symmetric")) spec.symmetric = object.boolean("symmetric");
  return spec;
}

OrderedJson to_json(const TensorSpec& spec) {
  OrderedJson json = {{"precision", name_of(spec.precision)}};
  if (spec.in_blocks()) {
    json["block_size"] = spec.block_size;
    json["quantizer"] = spec.quantizer;
    json["symmetric"] = spec.symmetric;
  }
  return json;
}

void check_spec(const TensorSpec& spec) {
  if (!spec.in_blocks()) return;
  if (std::ranges::find(kBlockSizes, spec.block_size) == kBlockSizes.end())
    refuse_spec(fmt::format("the block size is {}, expected one of {}: ONNX Runtime's MatMulNBits takes no other",
                            spec.block_size, fmt::join(kBlockSizes, ", ")));
  if (spec.symmetric && !quantizer(spec.quantizer).symmetric)
    refuse_spec(fmt::format("{} is asymmetric alone: it is the zero point that it moves", spec.quantizer));
}

}  // namespace q3vl
