// From what a user asks to what a package is fed: the chat template, placeholders for pictures, token ids.
//
//   const Prompter prompter(package, config);
//   const Prompt prompt = prompter.prompt({.text = "What is this?", .images = {picture}});
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "chat/chat_template.h"
#include "image/rgb_image.h"
#include "prompt/prompt.h"
#include "runtime/package_config.h"
#include "tokenizer/tokenizer.h"

namespace q3vl {

/// Frames of one size, taken `fps` times a second.
struct Clip {
  std::vector<RgbImage> frames;
  double fps;
};

struct Question {
  std::string text;
  std::string system = {};            ///< what the system says first; empty: nothing
  std::vector<RgbImage> images = {};  ///< in the size in which the model sees them, as the frames of the clips
  std::vector<Clip> clips = {};
  /// The text is the whole prompt, with its own <|vision_start|><|image_pad|><|vision_end|> for each picture, and with
  /// <|video_pad|> for each clip.
  bool whole_prompt = false;
};

class Prompter {
 public:
  /// Reads the tokenizer and the chat template of the package. `config` must outlive the object. Throws
  /// Error(bad_input) and Error(unsupported). The template is first run by prompt().
  Prompter(const std::filesystem::path& package, const PackageConfig& config);

  const Tokenizer& tokenizer() const { return tokenizer_; }

  /// A conversation of one question: pictures, then clips, then the text, rendered by the chat template, with a
  /// placeholder a picture token. A clip's frames, temporal_patch_size at a time, stand behind their time in seconds.
  /// Throws Error(usage) for pictures in a text-only package and for a text whose placeholders are not as many as the
  /// pictures and clips; Error(bad_input) where the template fails; Error(interrupted).
  /// Source: Hugging Face transformers 5.12.1, Qwen3VLProcessor.__call__.
  Prompt prompt(const Question& question) const;

 private:
  const PackageConfig& config_;
  Tokenizer tokenizer_;
  ChatTemplate chat_template_;
};

}  // namespace q3vl
