// What Transformers.js reads beside the graphs: the checkpoint's own files, completed.
// Contract: @huggingface/transformers 4.3.1, AutoProcessor, AutoTokenizer and Qwen3VLForConditionalGeneration.
#pragma once

#include <cstdint>
#include <filesystem>

#include "base/json.h"
#include "config/generation_config.h"
#include "config/image_config.h"
#include "package/client.h"

namespace q3vl {

/// config.json: the checkpoint's, with the model types and the end-of-sequence ids that Transformers.js looks for, and
/// its own settings: which file names to ask for, and in a browser how many data files. `data_files` is empty where
/// graphs share theirs.
Json transformers_js_config(const std::filesystem::path& checkpoint, const GenerationConfig& generation,
                            const BrowserDataFiles& data_files);

/// preprocessor_config.json: the checkpoint's image settings, with every step that Transformers.js does not take of
/// itself spelled out, and pictures of at most `max_pixels` pixels, as in vision_processor.json.
Json transformers_js_preprocessor(const std::filesystem::path& checkpoint, const ImageConfig& image,
                                  std::int64_t max_pixels);

/// tokenizer_config.json: the checkpoint's, with `chat_template` inside: Transformers.js reads no other file for it.
Json transformers_js_tokenizer_config(const std::filesystem::path& checkpoint, const std::string& chat_template);

}  // namespace q3vl
