#include "package/manifest.h"

#include <filesystem>

#include "serialize/onnx_model.h"

namespace q3vl {
namespace {

/// Per role: how its weights are encoded and laid out, how many there are and what they take.
OrderedJson roles(const DataLayout& layout) {
  OrderedJson result = OrderedJson::object();
  for (const PlacedWeight& placed : layout.weights()) {
    const WeightRequest& request = *placed.request;
    std::uint64_t bytes = 0;
    for (const EncodedPart& part : request.parts) bytes += part.row_bytes * static_cast<std::uint64_t>(request.rows);
    OrderedJson& role = result[std::string(name_of(request.role))];
    if (role.is_null()) {
      role["encoding"] = to_string(request.encoding);
      if (request.encoding.quantized()) {
        role["bits"] = request.encoding.bits;
        role["block_size"] = request.encoding.block_size;
        role["quantizer"] = request.encoding.quantizer;
        role["layout"] =
            "MatMulNBits: data uint8 [rows, blocks, block_size*bits/8], low bits first, zero point 2^(bits-1); scales "
            "float32 [rows, blocks]";
      } else {
        role["layout"] = "row-major, as in the checkpoint";
      }
      role["types"] = OrderedJson::object();
      role["weights"] = 0;
      role["bytes"] = 0;
    }
    for (const EncodedPart& part : request.parts) {
      OrderedJson& count = role["types"][std::string(name_of(part.type))];
      count = (count.is_null() ? 0 : count.get<std::int64_t>()) + 1;
    }
    role["weights"] = role["weights"].get<std::int64_t>() + 1;
    role["bytes"] = role["bytes"].get<std::uint64_t>() + bytes;
    role["files"][placed.file] =
        (role["files"].contains(placed.file) ? role["files"][placed.file].get<std::uint64_t>() : 0) + bytes;
  }
  return result;
}

constexpr int kFormat = 1;

void add_files(OrderedJson& document, const std::map<std::string, std::uint64_t>& files) {
  for (const auto& [name, bytes] : files) document["files"][name] = {{"bytes", bytes}};
}

}  // namespace

OrderedJson manifest(const ManifestInputs& inputs) {
  OrderedJson document;
  document["format"] = kFormat;
  for (const auto& [name, version] : inputs.versions) document["versions"][name] = version;
  document["onnx"] = {{"opset", kOpset}, {"ir_version", kIrVersion}};
  document["recipe_name"] = std::filesystem::path(inputs.recipe.name).stem().string();
  document["recipe"] = inputs.recipe.to_json();
  document["components"] = inputs.components;
  if (inputs.max_length > 0) document["max_length"] = inputs.max_length;
  if (inputs.max_pixels > 0) document["max_pixels"] = inputs.max_pixels;
  document["roles"] = roles(inputs.layout);
  add_files(document, inputs.files);
  return document;
}

OrderedJson extraction_manifest(const std::string& version, const std::string& module,
                                const std::map<std::string, std::uint64_t>& files) {
  OrderedJson document = {{"format", kFormat}, {"versions", {{kProgramName, version}}}, {"module", module}};
  add_files(document, files);
  return document;
}

}  // namespace q3vl
