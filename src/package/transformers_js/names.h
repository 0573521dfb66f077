// The graphs' files as Transformers.js asks for them.
// Source: Transformers.js 4.3.1, session names of image-text-to-text models. They have no suffix for a precision:
// config.json's transformers.js_config tells Transformers.js so.
#pragma once

#include <string_view>

namespace q3vl::transformers_js {

inline constexpr std::string_view kVisionEncoderFile = "onnx/vision_encoder.onnx";
inline constexpr std::string_view kEmbedTokensFile = "onnx/embed_tokens.onnx";
inline constexpr std::string_view kDecoderFile = "onnx/decoder_model_merged.onnx";

}  // namespace q3vl::transformers_js
