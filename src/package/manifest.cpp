#include "package/manifest.h"

#include <filesystem>

#include "serialize/onnx_model.h"
#include "serialize/role_sizes.h"

namespace q3vl {
namespace {

/// Per role: how its weights are encoded and laid out, how many there are and what they take.
OrderedJson roles(const DataLayout& layout) {
  OrderedJson result = OrderedJson::object();
  for (const RoleSize& size : sizes_by_role(layout)) {
    OrderedJson& role = result[std::string(name_of(size.role))];
    if (role.is_null()) {
      role["encoding"] = to_string(size.encoding);
      if (size.encoding.quantized()) {
        role["bits"] = size.encoding.bits;
        role["block_size"] = size.encoding.block_size;
        role["quantizer"] = size.encoding.quantizer;
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
    const auto add = [](OrderedJson& sum, std::uint64_t more) {
      sum = (sum.is_null() ? 0 : sum.get<std::uint64_t>()) + more;
    };
    const auto weights = static_cast<std::uint64_t>(size.weights);
    for (const DataType type : size.types) add(role["types"][std::string(name_of(type))], weights);
    add(role["weights"], weights);
    add(role["bytes"], size.bytes);
    add(role["files"][size.file], size.bytes);
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
