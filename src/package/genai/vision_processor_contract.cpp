#include "package/genai/vision_processor_contract.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

namespace q3vl {
namespace {

enum class AttrKind { text, integer, one, number, numbers };

struct Attr {
  std::string_view name;
  AttrKind kind;
  bool required = true;
};

struct Transform {
  std::string_view type;
  bool required;
  std::vector<Attr> attrs;
};

const std::vector<Transform>& transforms() {
  static const std::vector<Transform> all{
      {"DecodeImage", true, {{"color_space", AttrKind::text}}},
      {"ConvertRGB", false, {}},
      {"Resize",
       true,
       {{"width", AttrKind::integer},
        {"height", AttrKind::integer},
        {"smart_resize", AttrKind::one},
        {"min_pixels", AttrKind::integer},
        {"max_pixels", AttrKind::integer},
        {"patch_size", AttrKind::integer},
        {"merge_size", AttrKind::integer},
        {"interpolation", AttrKind::text, false}}},
      {"Rescale", true, {{"rescale_factor", AttrKind::number}}},
      {"Normalize",
       true,
       {{"mean", AttrKind::numbers}, {"std", AttrKind::numbers}, {"qwen3_vl", AttrKind::one, false}}},
      {"PatchImage",
       true,
       {{"patch_size", AttrKind::integer},
        {"temporal_patch_size", AttrKind::integer},
        {"merge_size", AttrKind::integer}}}};
  return all;
}

bool is_positive(const Json& value) {
  return value.is_number_integer() && value.get<std::int64_t>() > 0;
}

bool holds(const Json& value, AttrKind kind) {
  switch (kind) {
    case AttrKind::text:
      return value.is_string();
    case AttrKind::integer:
      return is_positive(value);
    case AttrKind::one:
      return value.is_number_integer() && value.get<std::int64_t>() == 1;
    case AttrKind::number:
      return value.is_number_float();
    case AttrKind::numbers:
      return value.is_array() && value.size() == 3 &&
             std::all_of(value.begin(), value.end(), [](const Json& item) { return item.is_number_float(); });
  }
  return false;
}

std::string_view expected(AttrKind kind) {
  switch (kind) {
    case AttrKind::text:
      return "a string";
    case AttrKind::integer:
      return "an integer of 1 or more";
    case AttrKind::one:
      return "1";
    case AttrKind::number:
      return "a number with a decimal point";
    case AttrKind::numbers:
      return "three numbers with decimal points";
  }
  return "";
}

class TransformChecker {
 public:
  TransformChecker(std::string file, Findings& findings) : file_(std::move(file)), findings_(&findings) {}

  PatchSizes check(const Json& document) {
    const std::size_t before = findings_->size();
    const std::vector<const Json*> operations = read_operations(document);
    if (findings_->size() != before) return {};
    for (const Json* operation : operations) check_attrs(*operation);
    if (findings_->size() != before) return {};
    check_agreement();
    return {attr("PatchImage", "patch_size"), attr("PatchImage", "temporal_patch_size"),
            attr("PatchImage", "merge_size")};
  }

 private:
  void add(const std::string& sentence) { findings_->add(file_, sentence); }

  /// The operations, in the expected order.
  std::vector<const Json*> read_operations(const Json& document) {
    if (!document.is_object() || document.size() != 1 || !document.contains("processor") ||
        !document["processor"].is_object()) {
      add("expected one object called processor");
      return {};
    }
    const Json& processor = document["processor"];
    for (const auto& item : processor.items())
      if (item.key() != "name" && item.key() != "transforms")
        add(fmt::format("processor.{} is not a known key", item.key()));
    if (!processor.contains("name") || !processor["name"].is_string()) add("processor.name is missing or no string");
    if (!processor.contains("transforms") || !processor["transforms"].is_array()) {
      add("processor.transforms is missing or no array");
      return {};
    }
    std::vector<const Json*> operations;
    std::vector<std::string> order;
    for (const Json& transform : processor["transforms"]) {
      const bool well_formed = transform.is_object() && transform.size() == 1 && transform.contains("operation") &&
                               transform["operation"].is_object() && transform["operation"].contains("name") &&
                               transform["operation"]["name"].is_string() && transform["operation"].contains("type") &&
                               transform["operation"]["type"].is_string();
      if (!well_formed) {
        add(fmt::format(R"(transform {} is not of the form {{"operation": {{"name", "type", "attrs"}}}})",
                        operations.size() + 1));
        return {};
      }
      operations.push_back(&transform["operation"]);
      order.push_back(transform["operation"]["type"].get<std::string>());
    }
    std::vector<std::string_view> wanted;
    for (const Transform& transform : transforms()) {
      if (transform.required || std::find(order.begin(), order.end(), transform.type) != order.end())
        wanted.push_back(transform.type);
    }
    if (!std::equal(order.begin(), order.end(), wanted.begin(), wanted.end()))
      add(fmt::format("the transforms are {}, expected {}", fmt::join(order, ", "), fmt::join(wanted, ", ")));
    return operations;
  }

  void check_attrs(const Json& operation) {
    const std::string type = operation["type"].get<std::string>();
    for (const auto& item : operation.items())
      if (item.key() != "name" && item.key() != "type" && item.key() != "attrs")
        add(fmt::format("{}: {} is not a known key of an operation", type, item.key()));
    const auto transform = std::find_if(transforms().begin(), transforms().end(),
                                        [&](const Transform& candidate) { return candidate.type == type; });
    const Json attrs = operation.contains("attrs") ? operation["attrs"] : Json::object();
    if (!attrs.is_object()) {
      add(fmt::format("{}: attrs is {}, expected an object", type, describe(attrs)));
      return;
    }
    for (const auto& item : attrs.items()) {
      const auto attr = std::find_if(transform->attrs.begin(), transform->attrs.end(),
                                     [&](const Attr& candidate) { return candidate.name == item.key(); });
      if (attr == transform->attrs.end())
        add(fmt::format("{}: {} is not a known attribute", type, item.key()));
      else if (!holds(item.value(), attr->kind))
        add(fmt::format("{}: {} is {}, expected {}", type, item.key(), item.value().dump(), expected(attr->kind)));
    }
    for (const Attr& attr : transform->attrs)
      if (attr.required && !attrs.contains(attr.name)) add(fmt::format("{}: {} is missing", type, attr.name));
    attrs_[type] = attrs;
  }

  std::int64_t attr(const char* type, const char* name) const { return attrs_[type][name].get<std::int64_t>(); }

  void check_agreement() {
    const bool converted = attrs_.contains("ConvertRGB");
    if (converted != attrs_["Normalize"].contains("qwen3_vl"))
      add(fmt::format("{} swaps the channels and {} does not swap them back; expected both or neither",
                      converted ? "ConvertRGB" : "Normalize's qwen3_vl",
                      converted ? "Normalize's qwen3_vl" : "ConvertRGB"));
    if (attrs_["DecodeImage"]["color_space"] != "RGB")
      add(fmt::format("DecodeImage: color_space is {}, expected \"RGB\"", attrs_["DecodeImage"]["color_space"].dump()));
    if (attr("Resize", "min_pixels") > attr("Resize", "max_pixels"))
      add(fmt::format("Resize: min_pixels is {}, more than max_pixels = {}", attr("Resize", "min_pixels"),
                      attr("Resize", "max_pixels")));
    for (const char* name : {"patch_size", "merge_size"})
      if (attr("Resize", name) != attr("PatchImage", name))
        add(fmt::format("{} is {} in Resize and {} in PatchImage, expected equal ones", name, attr("Resize", name),
                        attr("PatchImage", name)));
  }

  std::string file_;
  Findings* findings_;
  Json attrs_ = Json::object();  // by type
};

}  // namespace

PatchSizes check_vision_processor(const Json& document, const std::string& file, Findings& findings) {
  return TransformChecker(file, findings).check(document);
}

}  // namespace q3vl
