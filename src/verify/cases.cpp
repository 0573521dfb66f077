#include "verify/cases.h"

#include <algorithm>
#include <numeric>
#include <random>

namespace q3vl {
namespace {

constexpr std::int64_t kMostPositions = 48;

/// Builds one prompt token by token. The numbers are mt19937's own, which the C++ standard fixes; its distributions
/// differ from library to library.
class PromptMaker {
 public:
  PromptMaker(const ModelConfig& config, std::uint32_t seed) : config_(config), random_(seed) {}

  PromptMaker& text(int count) {
    for (int made = 0; made < count;) {
      const auto id = static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(config_.text.vocab_size));
      const bool special = id == config_.image_token_id || id == config_.video_token_id ||
                           id == config_.vision_start_token_id || id == config_.vision_end_token_id;
      if (special) continue;
      prompt_.input_ids.push_back(id);
      ++made;
    }
    return *this;
  }

  PromptMaker& image(const Patches& patches) {
    span(*config_.image_token_id, patches.grid.patches() / config_.vision->merge_unit());
    prompt_.pictures.push_back({patches, false});
    return *this;
  }

  /// Each frame of a clip comes after the text of its time.
  PromptMaker& video(const Patches& patches) {
    for (std::int64_t frame = 0; frame < patches.grid.t; ++frame) {
      text(2);
      span(*config_.video_token_id, patches.grid.h * patches.grid.w / config_.vision->merge_unit());
    }
    prompt_.pictures.push_back({patches, true});
    return *this;
  }

  /// Random patches of a picture of `rows` × `columns` tokens and `frames` frames.
  Patches patches(std::int64_t frames, std::int64_t rows, std::int64_t columns) {
    const std::int64_t merge = config_.vision->spatial_merge_size;
    Patches patches{.pixel_values = {}, .grid = {frames, rows * merge, columns * merge}};
    const auto count = static_cast<std::size_t>(patches.grid.patches() * config_.vision->patch_values());
    for (std::size_t i = 0; i < count; ++i)
      patches.pixel_values.push_back(static_cast<float>(random_() >> 8) * 0x1p-23F - 1.0F);  // [-1, 1)
    return patches;
  }

  VerifyCase finish(std::string name) {
    const auto length = static_cast<std::int64_t>(prompt_.input_ids.size());
    VerifyCase result{.name = std::move(name), .prompt = std::move(prompt_), .positions = {}, .text = false};
    if (length <= kMostPositions) {
      result.positions.resize(static_cast<std::size_t>(length));
      std::iota(result.positions.begin(), result.positions.end(), 0);
      return result;
    }
    const std::int64_t spread = kMostPositions - kDecodedTokens - 1;
    const std::int64_t rest = length - kDecodedTokens - 1;
    for (std::int64_t i = 0; i < spread; ++i) result.positions.push_back(i * rest / spread);
    for (std::int64_t i = rest; i < length; ++i) result.positions.push_back(i);
    return result;
  }

 private:
  void span(std::int64_t placeholder, std::int64_t count) {
    prompt_.input_ids.push_back(*config_.vision_start_token_id);
    prompt_.input_ids.insert(prompt_.input_ids.end(), static_cast<std::size_t>(count), placeholder);
    prompt_.input_ids.push_back(*config_.vision_end_token_id);
  }

  const ModelConfig& config_;
  std::mt19937 random_;
  Prompt prompt_;
};

}  // namespace

std::vector<VerifyCase> verify_cases(const ModelConfig& config, bool pictures, std::span<const Patches> images,
                                     std::span<const std::string> image_names) {
  std::vector<VerifyCase> cases;
  cases.push_back(PromptMaker(config, 1).text(20).finish("text"));
  if (!pictures) return cases;
  {
    PromptMaker maker(config, 2);
    const Patches image = maker.patches(1, 3, 5);
    cases.push_back(maker.text(4).image(image).text(7).finish("one image"));
  }
  {
    PromptMaker maker(config, 3);
    const Patches wide = maker.patches(1, 2, 4);
    const Patches tall = maker.patches(1, 5, 2);
    cases.push_back(maker.text(3).image(wide).text(2).image(tall).text(6).finish("images of different sizes"));
  }
  {
    PromptMaker maker(config, 4);
    const Patches clip = maker.patches(3, 3, 2);
    cases.push_back(maker.text(3).video(clip).text(6).finish("video"));
  }
  for (std::size_t i = 0; i < images.size(); ++i)
    cases.push_back(PromptMaker(config, 5).text(4).image(images[i]).text(7).finish(image_names[i]));
  return cases;
}

}  // namespace q3vl
