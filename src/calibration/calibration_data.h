// What a calibration runs through the model: a folder of token files and pictures.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "config/model_config.h"
#include "prompt/prompt.h"

namespace q3vl {

/// The longest sequence that is run, in tokens.
inline constexpr std::int64_t kCalibrationLength = 4096;

/// Reads the files of `folder`, not of folders in it, in the order of their names:
///  - "*.json": a sequence {"input_ids": [...], "images": ["name.png", ...]}, or {"sequences": [...]} of several.
///    "images" is optional and relative to `folder`; each picture's one placeholder is expanded to its tokens.
///  - pictures (.png, .jpg, .jpeg) that no JSON file names: a prompt of the picture alone.
/// Other files are passed over. Pictures are resized to at most `max_pixels` pixels and cut into patches as the image
/// settings of `checkpoint` say. Text is cut to kCalibrationLength tokens. Throws Error(bad_input) for what cannot be
/// run, and Error(usage) for a folder without any of this or pictures for a model that sees none.
std::vector<Prompt> read_calibration_data(const std::filesystem::path& folder, const std::filesystem::path& checkpoint,
                                          const ModelConfig& config, std::int64_t max_pixels);

/// The tokens of all prompts.
std::int64_t count_tokens(const std::vector<Prompt>& prompts);

/// "3 sequences, fingerprint 0123456789abcdef": equal for equal tokens and pixels in equal order, and else not.
std::string describe_data(const std::vector<Prompt>& prompts);

/// A 64-bit FNV-1a hash in hexadecimal digits, of bytes one behind the other. Not proof against forgery.
class Fingerprint {
 public:
  void add(std::span<const std::byte> bytes);
  std::string text() const;

 private:
  std::uint64_t hash_ = 0xcbf29ce484222325U;
};

}  // namespace q3vl
