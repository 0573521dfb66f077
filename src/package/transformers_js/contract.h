// What Transformers.js needs of a package, checked without it.
// Contract: @huggingface/transformers 4.3.1, Qwen3VLForConditionalGeneration and Qwen3VLProcessor.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace q3vl {

/// What Transformers.js would stumble over in the package, or do otherwise than onnxruntime-genai: a sentence each,
/// that opens with the file. Graphs that a browser is to load must have their weights in the files that it fetches, and
/// no operator and no type that its ONNX Runtime lacks.
std::vector<std::string> transformers_js_contract_findings(const std::filesystem::path& package);

}  // namespace q3vl
