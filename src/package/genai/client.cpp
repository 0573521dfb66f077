#include "package/client.h"
#include "contract/file_names.h"
#include "package/genai/contract.h"
#include "package/genai/genai_config.h"
#include "package/genai/vision_processor.h"

namespace q3vl {
namespace {

std::vector<ClientFile> genai_files(const ClientInputs& inputs) {
  const auto text = [](const OrderedJson& document) { return document.dump(2) + "\n"; };
  std::vector<ClientFile> files;
  files.push_back({kGenaiConfigFile, "onnxruntime-genai's config", text(genai_config(inputs))});
  if (inputs.image != nullptr)
    files.push_back({kVisionProcessorFile, "onnxruntime-genai's image transforms",
                     text(vision_processor(*inputs.image, inputs.max_pixels))});
  return files;
}

}  // namespace

const Client kGenai = {.name = "onnxruntime-genai",
                       .reason_against = [](const Components&, bool) { return std::string(); },
                       .files = genai_files,
                       .findings = genai_contract_findings};

}  // namespace q3vl
