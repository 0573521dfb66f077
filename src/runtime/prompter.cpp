#include "runtime/prompter.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "chat/picture_marks.h"
#include "contract/file_names.h"
#include "contract/special_tokens.h"
#include "prompt/image_patches.h"
#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

std::string repeated(std::string_view text, std::int64_t count) {
  std::string result;
  for (std::int64_t i = 0; i < count; ++i) result += text;
  return result;
}

/// What stands for a clip: each step in time with its moment, the middle of its frames, before it. It goes between the
/// <|vision_start|> and <|vision_end|> of the chat template, which stay, as in transformers 5 (4.57 took them away).
std::string clip_text(const Clip& clip, const Grid& grid, const ImageConfig& image) {
  const auto frames = static_cast<std::int64_t>(clip.frames.size());
  const std::int64_t tokens = grid.tokens(image.merge_size) / grid.t;
  std::string text;
  for (std::int64_t step = 0; step < grid.t; ++step) {
    const auto second_of = [&](std::int64_t frame) {
      return static_cast<double>(std::min(frame, frames - 1)) / clip.fps;
    };
    const std::int64_t first = step * image.temporal_patch_size;
    const double middle = (second_of(first) + second_of(first + image.temporal_patch_size - 1)) / 2;
    text += fmt::format("<{:.1f} seconds>{}{}{}", middle, kVisionStart, repeated(kVideoPad, tokens), kVisionEnd);
  }
  return text;
}

OrderedJson messages_of(const Question& question) {
  OrderedJson content = question.text;
  if (!question.images.empty() || !question.clips.empty()) {  // templates of plain language models know strings alone
    content = OrderedJson::array();
    for (std::size_t i = 0; i < question.images.size(); ++i) content.push_back({{"type", "image"}});
    for (std::size_t i = 0; i < question.clips.size(); ++i) content.push_back({{"type", "video"}});
    content.push_back({{"type", "text"}, {"text", question.text}});
  }
  OrderedJson messages = OrderedJson::array();
  if (!question.system.empty()) messages.push_back({{"role", "system"}, {"content", question.system}});
  messages.push_back({{"role", "user"}, {"content", content}});
  return messages;
}

/// `given` pictures or clips have as many placeholders in the prompt.
void expect_as_many(std::string_view prompt, bool whole, std::string_view placeholder, std::size_t given) {
  const std::int64_t found = count_of(prompt, placeholder);
  if (found == static_cast<std::int64_t>(given)) return;
  const std::string cure =
      whole ? fmt::format("a whole prompt has {}{}{} for each", kVisionStart, placeholder, kVisionEnd)
            : fmt::format("take {} out of the text: the chat template puts it in", placeholder);
  throw Error(ErrorKind::usage,
              fmt::format("the prompt has {} {} times, expected {}, as many as {} are given; {}", placeholder, found,
                          given, placeholder == kImagePad ? "pictures" : "videos", cure));
}

/// `text` with what `replacements` says in place of each `part`, in order.
std::string replaced(std::string_view text, std::string_view part, const std::vector<std::string>& replacements) {
  std::string result;
  std::size_t from = 0;
  for (const std::string& replacement : replacements) {
    const auto at = text.find(part, from);
    result += text.substr(from, at - from);
    result += replacement;
    from = at + part.size();
  }
  result += text.substr(from);
  return result;
}

}  // namespace

Prompter::Prompter(const std::filesystem::path& package, const PackageConfig& config)
    : config_(config), tokenizer_(package / kTokenizerFile), chat_template_(ChatTemplate::of_folder(package)) {}

Prompt Prompter::prompt(const Question& question) const {
  if (!config_.pictures && !(question.images.empty() && question.clips.empty()))
    throw Error(ErrorKind::usage, "a text-only package sees no pictures");
  std::string text = question.whole_prompt
                         ? question.text
                         : chat_template_.render(messages_of(question), {.add_generation_prompt = true});
  Prompt prompt;
  if (config_.pictures) {
    const ImageConfig& image = config_.pictures->image;
    expect_as_many(text, question.whole_prompt, kImagePad, question.images.size());
    expect_as_many(text, question.whole_prompt, kVideoPad, question.clips.size());
    std::vector<PromptPicture> images;
    std::vector<PromptPicture> clips;
    std::vector<std::string> image_pads;
    std::vector<std::string> clip_texts;
    for (const RgbImage& picture : question.images) {
      images.push_back({image_patches({&picture, 1}, image), false});
      image_pads.push_back(repeated(kImagePad, images.back().patches.grid.tokens(image.merge_size)));
    }
    for (const Clip& clip : question.clips) {
      const ImageConfig& video = config_.pictures->video;
      clips.push_back({image_patches(clip.frames, video), true});
      clip_texts.push_back(clip_text(clip, clips.back().patches.grid, video));
    }
    // In the order of the prompt, before placeholders multiply.
    auto next_image = images.begin();
    auto next_clip = clips.begin();
    for (std::size_t at = 0; at < text.size(); ++at) {
      const std::string_view rest = std::string_view(text).substr(at);
      if (rest.starts_with(kImagePad)) prompt.pictures.push_back(std::move(*next_image++));
      if (rest.starts_with(kVideoPad)) prompt.pictures.push_back(std::move(*next_clip++));
    }
    text = replaced(replaced(text, kVideoPad, clip_texts), kImagePad, image_pads);
  }
  prompt.input_ids = tokenizer_.encode(text);
  return prompt;
}

}  // namespace q3vl
