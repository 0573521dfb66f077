// The closed key sets of genai_config.json, as onnxruntime-genai 0.16 reads them for qwen3_vl and qwen3.
#pragma once

#include "base/json.h"
#include "package/findings.h"

namespace q3vl {

/// Holds every key of the document against what onnxruntime-genai reads: unknown keys, wrong types (a fraction where an
/// integer is read, null anywhere), missing keys, an unknown model.type. Returns whether the rest of the document can
/// be relied on: false when a required key is missing or a value has the wrong type.
bool check_genai_config_keys(const Json& document, Findings& findings);

}  // namespace q3vl
