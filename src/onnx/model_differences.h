// Two ONNX models, node for node and attribute for attribute.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace q3vl {

/// One sentence for each place in which the model file `found` differs from the model whose bytes are `expected`: the
/// place (a node by its name and operator, an input, an initializer), what was found and what was expected. Everything
/// counts, order and fields that no runtime reads included; only the version of the program that made the file does
/// not. Empty when the two are equal. Throws Error(bad_input) when the file cannot be read or is no ONNX model.
std::vector<std::string> model_differences(const std::filesystem::path& found, const std::string& expected);

}  // namespace q3vl
