#include <fmt/format.h>
#include <fmt/ranges.h>

#include "contract/file_names.h"
#include "package/client.h"
#include "package/transformers_js/contract.h"
#include "package/transformers_js/files.h"

namespace q3vl {
namespace {

std::string reason_against_transformers_js(const Components& components, bool int8_cache) {
  if (!components.whole())
    return fmt::format("Transformers.js loads vision, embedding and text, and only {} {} written",
                       fmt::join(components.names(), " and "), components.names().size() == 1 ? "is" : "are");
  return int8_cache ? "Transformers.js has no int8 cache" : "";
}

std::vector<ClientFile> transformers_js_files(const ClientInputs& inputs) {
  const auto text = [](const Json& document) { return document.dump(2) + "\n"; };
  std::vector<ClientFile> files;
  files.push_back({kConfigFile, "the model's config, completed",
                   text(transformers_js_config(inputs.checkpoint, *inputs.generation, inputs.data_files))});
  files.push_back({kPreprocessorFile, "image settings, completed",
                   text(transformers_js_preprocessor(inputs.checkpoint, *inputs.image, inputs.max_pixels))});
  files.push_back({kTokenizerConfigFile, "tokenizer settings, completed",
                   text(transformers_js_tokenizer_config(inputs.checkpoint, inputs.chat_template))});
  return files;
}

}  // namespace

const Client kTransformersJs = {.name = "Transformers.js",
                                .reason_against = reason_against_transformers_js,
                                .files = transformers_js_files,
                                .findings = transformers_js_contract_findings};

}  // namespace q3vl
