// genai_config.json: what onnxruntime-genai reads first.
#pragma once

#include "base/json.h"
#include "package/client.h"

namespace q3vl {

/// The document; names, widths and head counts are read off the graphs, so that the two cannot differ.
OrderedJson genai_config(const ClientInputs& inputs);

}  // namespace q3vl
