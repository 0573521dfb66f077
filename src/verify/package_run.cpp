#include "verify/package_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "base/parallel.h"
#include "contract/graph_io.h"
#include "onnx/model_probe.h"
#include "qwen3vl/names.h"
#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

/// Indexes of `axis` picked from a float tensor, as float32; axes of size 1 before `axis` are dropped.
HostTensor pick(const HostTensor& tensor, std::size_t axis, std::span<const std::int64_t> indexes) {
  const std::vector<float> all = tensor.to_float32();
  std::int64_t outer = 1;
  std::int64_t inner = 1;
  Shape shape;
  for (std::size_t i = 0; i < tensor.shape.size(); ++i) {
    if (i < axis) outer *= tensor.shape[i];
    if (i > axis) inner *= tensor.shape[i];
    if (i == axis)
      shape.push_back(static_cast<std::int64_t>(indexes.size()));
    else if (i > axis || tensor.shape[i] > 1)
      shape.push_back(tensor.shape[i]);
  }
  HostTensor picked = HostTensor::zeros(DataType::float32, shape);
  float* out = picked.values<float>().data();
  for (std::int64_t o = 0; o < outer; ++o)
    for (const std::int64_t index : indexes) {
      const float* from = all.data() + (o * tensor.shape[axis] + index) * inner;
      out = std::copy(from, from + inner, out);
    }
  return picked;
}

/// [first, first + count).
std::vector<std::int64_t> range(std::int64_t first, std::int64_t count) {
  std::vector<std::int64_t> values(static_cast<std::size_t>(count));
  std::iota(values.begin(), values.end(), first);
  return values;
}

HostTensor ones(Shape shape) {
  const std::vector<std::int64_t> values(static_cast<std::size_t>(element_count(shape)), 1);
  return HostTensor::of<std::int64_t>(std::move(shape), values);
}

/// The logits [vocab] of batch row `row` at `place`, from [B, S, vocab], or from [B, 1, vocab] for the last place.
std::vector<float> logits_row(const HostTensor& logits, std::int64_t row, std::int64_t place) {
  const std::vector<float> all = logits.to_float32();
  const std::int64_t sequence = logits.shape.at(1);
  const std::int64_t vocabulary = logits.shape.at(2);
  const auto begin = all.begin() + (row * sequence + (sequence == 1 ? 0 : place)) * vocabulary;
  return {begin, begin + vocabulary};
}

DecoderConfig decoder_config(const ModelConfig& config, const std::string& file, bool text_only) {
  return {.file = file,
          .hidden_size = config.features_width(),
          .head_size = config.text.head_dim,
          .num_hidden_layers = config.text.num_hidden_layers,
          .num_key_value_heads = config.text.num_key_value_heads,
          .tokens = text_only ? contract::kInputIds : contract::kInputsEmbeds,
          .attention_mask = contract::kAttentionMask,
          .position_ids = contract::kPositionIds,
          .past_key = contract::kPastKey,
          .past_value = contract::kPastValue,
          .logits = contract::kLogits,
          .present_key = contract::kPresentKey,
          .present_value = contract::kPresentValue};
}

}  // namespace

Session PackageRun::probe(GraphKind kind, Activations activations) const {
  return load(kind,
              probe_model(package_ / layout_->file(kind), {.activations = activations, .pick_prefix = "", .taps = {}}));
}

Session PackageRun::load(GraphKind kind, const Probe& copy) const {
  const std::string file = layout_->file(kind);
  return {runtime_, copy.model, (package_ / file).parent_path(), file, options_};
}

/// Tokens [begin, end) of a case as the decoder takes them.
HostTensor PackageRun::tokens(const VerifyCase& item, const HostTensor* input, std::int64_t begin,
                              std::int64_t end) const {
  if (text_only_) {
    const auto& ids = item.prompt.input_ids;
    return HostTensor::of<std::int64_t>(
        {1, end - begin},
        std::span(ids).subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(end - begin)));
  }
  HostTensor rows = pick(*input, 1, range(begin, end - begin));
  rows.shape.insert(rows.shape.begin(), 1);
  return rows;
}

/// Their positions: [3, 1, end - begin], or [1, end - begin] in a text-only package.
HostTensor PackageRun::position_ids(const VerifyCase& item, std::int64_t begin, std::int64_t end) const {
  if (text_only_) return HostTensor::of<std::int64_t>({1, end - begin}, range(begin, end - begin));
  const MropePositions all = prompt_positions(prompt_tokens(config_), item.prompt);
  std::vector<std::int64_t> chosen;
  for (std::int64_t axis = 0; axis < 3; ++axis) {
    const auto first = all.ids.begin() + axis * item.length();
    chosen.insert(chosen.end(), first + begin, first + end);
  }
  return HostTensor::of<std::int64_t>({3, 1, end - begin}, chosen);
}

std::vector<HostTensor> PackageRun::vision(std::span<const VerifyCase> cases, Activations activations) const {
  const Session session = probe(GraphKind::vision, activations);
  std::vector<HostTensor> results;
  for (const VerifyCase& item : cases) {
    throw_if_interrupted();
    if (item.prompt.pictures.empty()) {
      results.push_back(HostTensor::zeros(DataType::float32, {0, config_.features_width()}));
      continue;
    }
    std::vector<Patches> pictures;
    for (const PromptPicture& picture : item.prompt.pictures) pictures.push_back(picture.patches);
    const auto [pixel_values, image_grid_thw] = join_patches(pictures);
    NamedTensors outputs =
        session.run({{contract::kPixelValues, pixel_values.to(session.input(contract::kPixelValues).type)},
                     {contract::kImageGridThw, image_grid_thw}});
    results.push_back(take(outputs, contract::kImageFeatures).to(DataType::float32));
  }
  return results;
}

std::vector<std::vector<HostTensor>> PackageRun::embedding(std::span<const VerifyCase> cases,
                                                           std::span<const std::vector<HostTensor>> features) const {
  const Session session = probe(GraphKind::embedding, Activations::as_shipped);
  std::vector<std::vector<HostTensor>> results;
  for (const std::vector<HostTensor>& list : features) {
    std::vector<HostTensor>& made = results.emplace_back();
    for (std::size_t i = 0; i < list.size(); ++i) {
      throw_if_interrupted();
      NamedTensors outputs = session.run(
          {{contract::kInputIds, HostTensor::of<std::int64_t>({1, cases[i].length()}, cases[i].prompt.input_ids)},
           {contract::kImageFeatures, list[i].to(session.input(contract::kImageFeatures).type)}});
      made.push_back(take(outputs, contract::kInputsEmbeds).to(DataType::float32));
    }
  }
  return results;
}

std::vector<TextOutputs> PackageRun::text(std::span<const VerifyCase> cases, std::span<const HostTensor> inputs,
                                          Activations activations) const {
  const TextConfig& cfg = config_.text;
  const Scope model = names::language_model(cfg);
  // A layer's sum with what it adds is made by the norm that comes after it.
  constexpr const char* kNorm = "/SkipSimplifiedLayerNormalization";
  constexpr int kSumOutput = 3;
  ProbeOptions options{.activations = activations, .pick_prefix = (model / "last_token").path() + "/", .taps = {}};
  for (std::int64_t layer = 1; layer < cfg.num_hidden_layers; ++layer)
    options.taps.push_back({(model / "layers" / layer / "input_layernorm").path() + kNorm, kSumOutput});
  options.taps.push_back({(model / "norm").path() + kNorm, kSumOutput});
  const Probe copy = probe_model(package_ / layout_->file(GraphKind::text), options);
  const Session session = load(GraphKind::text, copy);
  const DecoderConfig names = decoder_config(config_, layout_->file(GraphKind::text), text_only_);

  std::vector<TextOutputs> results;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    throw_if_interrupted();
    const VerifyCase& item = cases[i];
    const std::int64_t length = item.length();
    const auto count = static_cast<std::int64_t>(item.positions.size());
    const HostTensor input = tokens(item, text_only_ ? nullptr : &inputs[i], 0, length);
    NamedTensors feeds = {
        {names.tokens, input.type == DataType::int64 ? input : input.to(session.input(names.tokens).type)},
        {names.attention_mask, ones({1, length})},
        {names.position_ids, position_ids(item, 0, length)}};
    if (copy.picks_positions) feeds[kProbePositions] = HostTensor::of<std::int64_t>({1, count, 1}, item.positions);
    const DataType cache_type = session.input(contract::layer_name(names.past_key, 0)).type;
    const bool float_cache = cache_type != DataType::int8;
    const HostTensor empty = HostTensor::zeros(cache_type, {1, cfg.num_key_value_heads, 0, cfg.head_dim});
    for (std::size_t layer = 0; layer < static_cast<std::size_t>(cfg.num_hidden_layers); ++layer) {
      feeds[contract::layer_name(names.past_key, layer)] = empty;
      feeds[contract::layer_name(names.past_value, layer)] = empty;
    }
    NamedTensors outputs = session.run(feeds);
    // Behind the pick there are the chosen positions only.
    const auto chosen = [&](const HostTensor& all) {
      return pick(all, 1, all.shape.at(1) == count && copy.picks_positions ? range(0, count) : item.positions);
    };
    TextOutputs& result = results.emplace_back();
    for (std::size_t layer = 0; layer < copy.taps.size(); ++layer) {
      const HostTensor all = take(outputs, copy.taps[layer]);
      result.hidden.push_back(layer + 1 == copy.taps.size() ? chosen(all) : pick(all, 1, item.positions));
      if (!float_cache) continue;
      result.keys.push_back(pick(take(outputs, contract::layer_name(names.present_key, layer)), 2, item.positions));
      result.values.push_back(pick(take(outputs, contract::layer_name(names.present_value, layer)), 2, item.positions));
    }
    result.logits = chosen(take(outputs, names.logits));
  }
  return results;
}

DecodingOutputs PackageRun::decoding(std::span<const VerifyCase> cases, std::span<const HostTensor> inputs) const {
  const Decoder decoder(probe(GraphKind::text, Activations::floats),
                        decoder_config(config_, layout_->file(GraphKind::text), text_only_));
  return {.growing = steps(decoder, cases, inputs, CacheMode::growing),
          .shared = steps(decoder, cases, inputs, CacheMode::shared),
          .batch = batch(decoder, cases.first(std::min<std::size_t>(2, cases.size())), inputs)};
}

std::vector<HostTensor> PackageRun::steps(const Decoder& decoder, std::span<const VerifyCase> cases,
                                          std::span<const HostTensor> inputs, CacheMode mode) const {
  std::vector<HostTensor> results;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const VerifyCase& item = cases[i];
    const std::int64_t length = item.length();
    KvCache cache = decoder.make_cache(mode, 1, length + kDecodedTokens);
    std::vector<float> rows;
    const auto step = [&](std::int64_t begin, std::int64_t end) {
      throw_if_interrupted();
      const HostTensor logits = decoder.decode(tokens(item, text_only_ ? nullptr : &inputs[i], begin, end),
                                               ones({1, end}), position_ids(item, begin, end), cache);
      const std::vector<float> row = logits_row(logits, 0, end - begin - 1);
      rows.insert(rows.end(), row.begin(), row.end());
    };
    step(0, length - kDecodedTokens);
    for (std::int64_t place = length - kDecodedTokens; place < length; ++place) step(place, place + 1);
    results.push_back(HostTensor::of<float>({1 + kDecodedTokens, config_.text.vocab_size}, rows));
  }
  return results;
}

std::vector<HostTensor> PackageRun::batch(const Decoder& decoder, std::span<const VerifyCase> cases,
                                          std::span<const HostTensor> inputs) const {
  const auto count = static_cast<std::int64_t>(cases.size());
  std::int64_t longest = 0;
  for (const VerifyCase& item : cases) longest = std::max(longest, item.length());
  const DataType type = text_only_ ? DataType::int64 : DataType::float32;
  const std::int64_t width = text_only_ ? 1 : config_.features_width();
  HostTensor joined = HostTensor::zeros(type, text_only_ ? Shape{count, longest} : Shape{count, longest, width});
  std::vector<std::int64_t> mask(static_cast<std::size_t>(count * longest), 0);
  const std::int64_t axes = text_only_ ? 1 : 3;
  std::vector<std::int64_t> positions(static_cast<std::size_t>(axes * count * longest), 0);
  for (std::int64_t row = 0; row < count; ++row) {
    const auto index = static_cast<std::size_t>(row);
    const std::int64_t length = cases[index].length();
    const HostTensor mine = tokens(cases[index], text_only_ ? nullptr : &inputs[index], 0, length);
    std::memcpy(joined.bytes.data() + static_cast<std::size_t>(row * longest * width) * size_of(type),
                mine.bytes.data(), mine.bytes.size());
    std::fill_n(mask.begin() + row * longest, length, 1);
    const HostTensor places = position_ids(cases[index], 0, length);
    for (std::int64_t axis = 0; axis < axes; ++axis)
      std::copy_n(places.values<std::int64_t>().begin() + axis * length, length,
                  positions.begin() + (axis * count + row) * longest);
  }
  KvCache cache = decoder.make_cache(CacheMode::growing, count, 0);
  const HostTensor logits = decoder.decode(
      joined, HostTensor::of<std::int64_t>({count, longest}, mask),
      HostTensor::of<std::int64_t>(text_only_ ? Shape{count, longest} : Shape{3, count, longest}, positions), cache);
  std::vector<HostTensor> rows;
  for (std::int64_t row = 0; row < count; ++row)
    rows.push_back(HostTensor::of<float>({config_.text.vocab_size},
                                         logits_row(logits, row, cases[static_cast<std::size_t>(row)].length() - 1)));
  return rows;
}

}  // namespace q3vl
