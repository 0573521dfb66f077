// Whether onnxruntime-genai will load and run a finished package: a check of the files alone, without the runtime.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace q3vl {

/// Reads a package folder (genai_config.json, the graphs it names without their weights, the image transforms, the
/// tokenizer files) and returns one sentence for each thing that onnxruntime-genai 0.12 to 0.16 would refuse or stumble
/// over: the file, what was found and what is expected. Empty when the package is sound. A file that cannot be read is
/// a finding too. What is refused is described in docs/CONTRACT.md.
std::vector<std::string> genai_contract_findings(const std::filesystem::path& package);

}  // namespace q3vl
