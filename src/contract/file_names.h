// Names of the files that a checkpoint and a package have, as Hugging Face, onnxruntime-genai and Transformers.js spell
// them. The only place that spells them; graphs' files are rows of package/package_layout.cpp.
#pragma once

namespace q3vl {

// Files of checkpoints. A package for Transformers.js has some of them too.
inline constexpr const char* kConfigFile = "config.json";
inline constexpr const char* kGenerationConfigFile = "generation_config.json";
inline constexpr const char* kPreprocessorFile = "preprocessor_config.json";
inline constexpr const char* kVideoPreprocessorFile = "video_preprocessor_config.json";
inline constexpr const char* kProcessorFile = "processor_config.json";
inline constexpr const char* kTokenizerFile = "tokenizer.json";
inline constexpr const char* kTokenizerConfigFile = "tokenizer_config.json";
inline constexpr const char* kSpecialTokensFile = "special_tokens_map.json";
inline constexpr const char* kAddedTokensFile = "added_tokens.json";
inline constexpr const char* kVocabularyFile = "vocab.json";
inline constexpr const char* kMergesFile = "merges.txt";
inline constexpr const char* kWeightsFile = "model.safetensors";
inline constexpr const char* kIndexFile = "model.safetensors.index.json";

// Files of packages alone.
inline constexpr const char* kGenaiConfigFile = "genai_config.json";
inline constexpr const char* kVisionProcessorFile = "vision_processor.json";  ///< onnxruntime-genai's image transforms
inline constexpr const char* kManifestFile = "manifest.json";

}  // namespace q3vl
