#include "package/manifest.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>

#include "base/file.h"
#include "contract/file_names.h"
#include "data/role_sizes.h"
#include "onnx/onnx_model.h"

namespace q3vl {
namespace {

std::string_view layout_of(const Encoding& encoding) {
  if (encoding.format == Encoding::Format::w8a8)
    return "QGemm with transB: data int8 [rows, columns]; scales float32 [rows]; zero points int8 [rows], all 0; "
           "columns times the balance of the norm before them, where one is";
  if (encoding.format == Encoding::Format::row_norms)
    return "float32 [rows]: the length of each row, its columns multiplied by the gains of the norm before it";
  if (!encoding.quantized()) return "row-major, as in the checkpoint";
  if (encoding.symmetric)
    return "MatMulNBits: data uint8 [rows, blocks, block_size*bits/8], low bits first, zero point 2^(bits-1); scales "
           "float16 [rows, blocks]";
  return "MatMulNBits: data uint8 [rows, blocks, block_size*bits/8], low bits first; scales float16 [rows, blocks]; "
         "zero "
         "points uint8 [rows, ceil(blocks*bits/8)], low bits first";
}

/// How the weights of one role are encoded and laid out, how many there are and what they take. Where a role has
/// several encodings, each is told with its share.
OrderedJson role_of(const std::vector<RoleSize>& sizes) {
  OrderedJson role = OrderedJson::object();
  OrderedJson encodings = OrderedJson::object();
  std::vector<std::string> names;
  const auto add = [](OrderedJson& sum, std::uint64_t more) {
    sum = (sum.is_null() ? 0 : sum.get<std::uint64_t>()) + more;
  };
  for (const RoleSize& size : sizes) {
    const std::string name = to_string(size.encoding);
    if (std::ranges::find(names, name) == names.end()) names.push_back(name);
    add(object_in(encodings, name)["weights"], static_cast<std::uint64_t>(size.weights));
    add(object_in(encodings, name)["bytes"], size.bytes);
  }
  role["encoding"] = fmt::format("{}", fmt::join(names, ", "));
  const Encoding& encoding = sizes.front().encoding;
  if (names.size() > 1) {
    role["encodings"] = encodings;
  } else {
    if (encoding.in_blocks()) {
      role["bits"] = encoding.bits;
      role["block_size"] = encoding.block_size;
      role["quantizer"] = encoding.quantizer;
      role["symmetric"] = encoding.symmetric;
    }
    role["layout"] = layout_of(encoding);
  }
  for (const RoleSize& size : sizes) {
    const auto weights = static_cast<std::uint64_t>(size.weights);
    for (const DataType type : size.types) add(object_in(role, "types")[std::string(name_of(type))], weights);
    add(role["weights"], weights);
    add(role["bytes"], size.bytes);
    add(object_in(role, "files")[size.file], size.bytes);
  }
  return role;
}

OrderedJson roles(const DataLayout& layout) {
  std::vector<std::pair<Role, std::vector<RoleSize>>> by_role;
  for (RoleSize& size : sizes_by_role(layout)) {
    auto place = std::ranges::find(by_role, size.role, &std::pair<Role, std::vector<RoleSize>>::first);
    if (place == by_role.end()) place = by_role.insert(by_role.end(), {size.role, {}});
    place->second.push_back(std::move(size));
  }
  OrderedJson result = OrderedJson::object();
  for (const auto& [role, sizes] : by_role) result[std::string(name_of(role))] = role_of(sizes);
  return result;
}

OrderedJson files_of(const ManifestFiles& files) {
  OrderedJson result = OrderedJson::object();
  for (const auto& [name, file] : files) result[name] = {{"bytes", file.bytes}, {"sha256", file.sha256}};
  return result;
}

OrderedJson source_of(const CheckpointFingerprint& source) {
  OrderedJson result = {{kConfigFile, {{"bytes", source.config_bytes}, {"sha256", source.config_sha256}}}};
  result["shards"] = OrderedJson::object();
  for (const ShardFingerprint& shard : source.shards)
    result["shards"][shard.file] = {{"bytes", shard.bytes}, {"header_sha256", shard.header_sha256}};
  return result;
}

}  // namespace

std::string unknown_sha256() {
  return std::string(64, '0');
}

OrderedJson manifest(const ManifestInputs& inputs) {
  OrderedJson document = OrderedJson::object();
  document["format"] = kManifestFormat;
  for (const auto& [name, version] : inputs.versions) object_in(document, "versions")[name] = version;
  document["onnx"] = {{"opset", kOpset}, {"ir_version", kIrVersion}};
  document["recipe_name"] = std::filesystem::path(inputs.recipe.name).stem().string();
  document["recipe"] = inputs.recipe.to_json();
  document["components"] = inputs.components;
  document["layout"] = inputs.package_layout->name;
  if (inputs.max_length > 0) document["max_length"] = inputs.max_length;
  if (inputs.max_pixels > 0) document["max_pixels"] = inputs.max_pixels;
  document["allow_nonfinite"] = inputs.allow_nonfinite;
  document["source"] = source_of(inputs.source);
  document["roles"] = roles(inputs.layout);
  document["files"] = files_of(inputs.files);
  return document;
}

OrderedJson extraction_manifest(const std::string& version, const std::string& module,
                                const CheckpointFingerprint& source, const ManifestFiles& files) {
  OrderedJson document = {{"format", kManifestFormat}, {"versions", {{kProgramName, version}}}, {"module", module}};
  document["source"] = source_of(source);
  document["files"] = files_of(files);
  return document;
}

ManifestFiles listed_files(const JsonObject& manifest) {
  ManifestFiles list;
  const JsonObject files = manifest.object("files");
  for (const auto& item : files.json().items()) {
    const JsonObject file = files.object(item.key());
    if (!lies_inside(item.key()))
      files.fail(fmt::format("files lists \"{}\", expected paths of files inside the folder", item.key()));
    list[item.key()] = {static_cast<std::uint64_t>(file.integer("bytes", 0, INT64_MAX)), file.string("sha256")};
  }
  return list;
}

}  // namespace q3vl
