#include "runtime/pipeline.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

/// The index of the largest value; the first of equal ones.
std::int64_t argmax(const std::vector<float>& values) {
  return std::max_element(values.begin(), values.end()) - values.begin();
}

/// The logits of the last position of a batch of one: [1, 1 or S, vocab] -> [vocab].
std::vector<float> last_row(const HostTensor& logits) {
  const std::vector<float> all = logits.to_float32();
  return {all.end() - logits.shape.back(), all.end()};
}

/// Text counts on from 0.
std::vector<std::int64_t> counted(std::size_t count) {
  std::vector<std::int64_t> positions(count);
  std::iota(positions.begin(), positions.end(), 0);
  return positions;
}

}  // namespace

CacheMode default_cache(const PackageConfig& config) {
  return config.past_present_share_buffer ? CacheMode::shared : CacheMode::growing;
}

Pipeline::Pipeline(const OnnxRuntime& runtime, const std::filesystem::path& package, const SessionOptions& options)
    : Pipeline(runtime, read_package_config(package), options) {}

Pipeline::Pipeline(const OnnxRuntime& runtime, PackageConfig config, const SessionOptions& options)
    : config_(std::move(config)), decoder_(Session(runtime, config_.decoder.file, options), config_.decoder) {
  if (!config_.pictures) return;
  vision_.emplace(runtime, config_.pictures->vision_file, options);
  embedding_.emplace(runtime, config_.pictures->embedding_file, options);
}

Pipeline::Pipeline(PackageConfig config, Session decoder, std::optional<Session> vision,
                   std::optional<Session> embedding)
    : config_(std::move(config)),
      vision_(std::move(vision)),
      embedding_(std::move(embedding)),
      decoder_(std::move(decoder), config_.decoder) {}

HostTensor Pipeline::encode_images(std::span<const Patches> pictures) const {
  if (text_only()) throw Error(ErrorKind::usage, "a text-only package takes no pictures");
  const PictureConfig& names = *config_.pictures;
  if (pictures.empty()) {
    return HostTensor::zeros(embedding_->input(names.image_features).type, {0, config_.decoder.hidden_size});
  }
  const auto [pixel_values, image_grid_thw] = join_patches(pictures);
  NamedTensors outputs = vision_->run({{names.pixel_values, pixel_values.to(vision_->input(names.pixel_values).type)},
                                       {names.image_grid_thw, image_grid_thw}});
  return take(outputs, names.vision_output);
}

HostTensor Pipeline::embed(const HostTensor& input_ids, const HostTensor& image_features) const {
  if (text_only()) throw Error(ErrorKind::usage, "a text-only package has no embedding graph");
  const PictureConfig& names = *config_.pictures;
  NamedTensors outputs = embedding_->run({{names.input_ids, input_ids}, {names.image_features, image_features}});
  return take(outputs, names.inputs_embeds);
}

Generation Pipeline::generate(const Prompt& prompt, const GenerateOptions& options) const {
  if (text_only() && !prompt.pictures.empty()) throw Error(ErrorKind::usage, "a text-only package takes no pictures");
  std::vector<Patches> pictures;
  for (const PromptPicture& picture : prompt.pictures) pictures.push_back(picture.patches);
  return generate(prompt, text_only() ? HostTensor{} : encode_images(pictures), options);
}

Generation Pipeline::generate(const Prompt& prompt, const HostTensor& image_features,
                              const GenerateOptions& options) const {
  if (prompt.input_ids.empty()) throw Error(ErrorKind::usage, "the prompt has no tokens");
  const CacheMode mode = options.cache.value_or(default_cache(config_));
  const auto length = static_cast<std::int64_t>(prompt.input_ids.size());
  // A shared cache is allocated whole at the start, so it gets no more room than this prompt and answer can fill.
  KvCache cache = decoder_.make_cache(mode, 1, std::min(config_.max_length, length + options.max_new_tokens));
  MropePositions positions{counted(prompt.input_ids.size()), 0};
  HostTensor no_features;
  if (!text_only()) {
    positions = prompt_positions(config_.pictures->tokens, prompt);
    no_features = encode_images({});
  }

  Generation result;
  std::vector<std::int64_t> past = prompt.input_ids;
  std::vector<std::int64_t> step_ids = prompt.input_ids;
  while (true) {
    const auto count = static_cast<std::int64_t>(step_ids.size());
    HostTensor tokens = HostTensor::of({1, count}, step_ids);
    if (!text_only()) tokens = embed(tokens, cache.length == 0 ? image_features : no_features);
    const std::vector<std::int64_t> mask(static_cast<std::size_t>(cache.length + count), 1);
    const HostTensor position_ids =
        text_only() ? HostTensor::of({1, count}, positions.ids) : HostTensor::of({3, 1, count}, positions.ids);
    std::vector<float> logits =
        last_row(decoder_.decode(tokens, HostTensor::of({1, cache.length + count}, mask), position_ids, cache));
    const std::int64_t token = options.choose ? options.choose(logits, past) : argmax(logits);
    if (options.keep_logits) result.logits.push_back(std::move(logits));
    result.tokens.push_back(token);
    if (options.on_token) options.on_token(token);
    const bool ended = std::count(config_.eos_token_ids.begin(), config_.eos_token_ids.end(), token) > 0;
    if (ended || static_cast<std::int64_t>(result.tokens.size()) >= options.max_new_tokens) return result;
    past.push_back(token);
    step_ids = {token};
    positions.ids.assign(text_only() ? 1 : 3, cache.length + positions.delta);
  }
}

}  // namespace q3vl
