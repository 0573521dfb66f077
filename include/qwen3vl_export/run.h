// A package at work: pictures and a question in, an answer out.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "qwen3vl_export/export.h"

namespace q3vl {

struct RunRequest {
  std::filesystem::path package = {};
  std::string prompt = {};                         ///< the question
  std::string system = {};                         ///< what the system says before it; empty: nothing
  bool raw = false;                                ///< the prompt is whole: no chat template, its own placeholders
  std::vector<std::filesystem::path> images = {};  ///< PNG or JPEG files
  std::vector<std::filesystem::path> videos = {};  ///< folders of frames, which are taken in the order of their names
  double fps = 2;                                  ///< frames a second of the videos
  std::int64_t max_new_tokens = 0;                 ///< of the answer; 0: as many as the cache has room for
  bool greedy = false;                             ///< the likeliest token each time
  std::optional<double> temperature = {};          ///< these three: else as genai_config.json says; any samples
  std::optional<std::int64_t> top_k = {};
  std::optional<double> top_p = {};
  std::uint64_t seed = 0;                      ///< of sampling
  std::string cache = {};                      ///< shared, growing; empty: as genai_config.json says
  std::string vision_runtime = "onnxruntime";  ///< what runs the visual tower: onnxruntime, libtorch
  std::filesystem::path checkpoint = {};       ///< whose visual tower libtorch runs
  std::filesystem::path onnxruntime = {};      ///< libonnxruntime.so; empty: the one found (docs/INSTALL.md)
  int threads = 0;                             ///< of the operators; 0: one a physical core
};

struct RunReport {
  std::string answer;                ///< without special tokens
  std::vector<std::int64_t> tokens;  ///< of the answer; an end-of-sequence token is the last
  std::string finish_reason;         ///< stop: an end-of-sequence token came; length: there was no more room
  std::int64_t prompt_tokens;        ///< those of pictures among them
  std::int64_t picture_tokens;
  double load_seconds;         ///< of the package
  double vision_seconds;       ///< of the visual tower; 0 without pictures
  double first_token_seconds;  ///< from the prompt to the first token, the visual tower included
  double decode_seconds;       ///< of all tokens after the first
  std::uint64_t peak_memory_bytes;

  /// Tokens after the first, each second; 0 when there is none.
  double tokens_per_second() const {
    return tokens.size() < 2 ? 0 : static_cast<double>(tokens.size() - 1) / decode_seconds;
  }
};

/// Answers a question by the package, as its genai_config.json and image settings say. `on_text` is told each piece of
/// the answer when it is whole characters; together they are the answer. Throws Error: usage for options that do not
/// fit each other or the package, bad_input and unsupported for the package, the pictures and the checkpoint,
/// interrupted.
RunReport run_package(const RunRequest& request, const std::function<void(const std::string& text)>& on_text,
                      const ExportObserver& observer);

}  // namespace q3vl
