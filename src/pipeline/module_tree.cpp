#include "pipeline/module_tree.h"

#include <algorithm>
#include <map>
#include <memory>
#include <string_view>

namespace q3vl {
namespace {

struct NameNode {
  std::map<std::string, std::unique_ptr<NameNode>, std::less<>> children;
  std::map<std::string, const TensorInfo*, std::less<>> tensors;
};

void insert(NameNode& root, const TensorInfo& tensor) {
  NameNode* node = &root;
  std::string_view rest = tensor.name;
  for (auto dot = rest.find('.'); dot != std::string_view::npos; dot = rest.find('.')) {
    auto& child = node->children[std::string(rest.substr(0, dot))];
    if (!child) child = std::make_unique<NameNode>();
    node = child.get();
    rest.remove_prefix(dot + 1);
  }
  node->tensors[std::string(rest)] = &tensor;
}

/// The index that a part of a name is, if it is one as PyTorch writes them.
std::optional<std::int64_t> as_index(const std::string& part) {
  constexpr std::size_t kMaxDigits = 9;
  const bool digits = std::all_of(part.begin(), part.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (part.empty() || part.size() > kMaxDigits || !digits || (part.size() > 1 && part.front() == '0'))
    return std::nullopt;
  return std::stoll(part);
}

void add_index(InspectedModule& module, std::int64_t index) {
  if (!module.indexes.empty() && module.indexes.back().second + 1 == index)
    module.indexes.back().second = index;
  else
    module.indexes.emplace_back(index, index);
}

void add_totals(InspectedModule& module, const InspectedModule& child) {
  module.parameters += child.parameters;
  module.bytes += child.bytes;
  for (const auto& [type, parameters] : child.parameters_by_type) module.parameters_by_type[type] += parameters;
}

void multiply_totals(InspectedModule& module, std::int64_t factor) {
  module.parameters *= factor;
  module.bytes *= static_cast<std::uint64_t>(factor);
  for (auto& [type, parameters] : module.parameters_by_type) parameters *= factor;
  for (InspectedModule& child : module.children) multiply_totals(child, factor);
}

/// One module for those that are alike, in the order of the first of each.
std::vector<InspectedModule> fold(const std::map<std::int64_t, InspectedModule>& numbered) {
  std::vector<std::pair<const InspectedModule*, std::vector<std::int64_t>>> groups;
  for (const auto& [index, module] : numbered) {
    auto group = std::find_if(groups.begin(), groups.end(), [&](const auto& g) { return *g.first == module; });
    if (group == groups.end()) group = groups.insert(groups.end(), {&module, {}});
    group->second.push_back(index);
  }
  std::vector<InspectedModule> folded;
  for (const auto& [module, indexes] : groups) {
    InspectedModule& one = folded.emplace_back(*module);
    for (const std::int64_t index : indexes) add_index(one, index);
    one.copies = static_cast<std::int64_t>(indexes.size());
    multiply_totals(one, one.copies);
  }
  return folded;
}

InspectedModule to_module(const NameNode& node) {
  InspectedModule module;
  for (const auto& [name, tensor] : node.tensors) {
    const std::string type(name_of(tensor->type));
    module.tensors.push_back({name, type, tensor->shape});
    module.parameters += element_count(tensor->shape);
    module.bytes += tensor->bytes;
    module.parameters_by_type[type] += element_count(tensor->shape);
  }
  std::map<std::int64_t, InspectedModule> numbered;
  for (const auto& [name, child] : node.children) {
    if (const auto index = as_index(name)) {
      numbered[*index] = to_module(*child);
      continue;
    }
    module.children.push_back(to_module(*child));
    module.children.back().name = name;
  }
  for (InspectedModule& folded : fold(numbered)) module.children.push_back(std::move(folded));
  for (const InspectedModule& child : module.children) add_totals(module, child);
  return module;
}

}  // namespace

InspectedModule module_tree(const Checkpoint& checkpoint) {
  NameNode root;
  for (const auto& [name, tensor] : checkpoint.tensors()) insert(root, tensor);
  return to_module(root);
}

}  // namespace q3vl
