#include "package/graph_reader.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <string_view>

#include "base/file.h"
#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

namespace fs = std::filesystem;

const ValueInfo* value_in(const std::vector<ValueInfo>& values, const std::string& name) {
  const auto found = std::find_if(values.begin(), values.end(), [&](const ValueInfo& v) { return v.name == name; });
  return found == values.end() ? nullptr : &*found;
}

std::optional<std::uint64_t> data_file_size(const GraphFile& graph, const fs::path& folder, const std::string& location,
                                            Findings& findings) {
  if (location.find('/') != std::string::npos || !lies_inside(location)) {
    findings.add(graph.file, fmt::format("has external data in \"{}\", expected a file name alone", location));
    return std::nullopt;
  }
  std::error_code error;
  const bool exists = fs::is_regular_file(folder / location, error);
  if (exists) return fs::file_size(folder / location);
  findings.add(graph.file, fmt::format("has external data in {}, which is missing", location));
  return std::nullopt;
}

/// One finding a data file, however many initializers share its fault.
void check_external_data(const fs::path& package, const GraphFile& graph, Findings& findings) {
  const fs::path folder = (package / graph.file).parent_path();
  std::map<std::string, std::optional<std::uint64_t>> sizes;  // by location; nothing after a finding
  for (const InitializerSummary& initializer : graph.summary.initializers) {
    if (!initializer.external) continue;
    const ExternalData& data = *initializer.external;
    if (!sizes.contains(data.location)) sizes[data.location] = data_file_size(graph, folder, data.location, findings);
    auto& size = sizes[data.location];
    if (!size) continue;
    const std::uint64_t length =
        static_cast<std::uint64_t>(element_count(initializer.shape)) * size_of(initializer.type);
    if (data.length != length) {
      findings.add(graph.file, fmt::format("the initializer {} has {} bytes in {}, expected {} for {} {}",
                                           initializer.name, data.length, data.location, length,
                                           name_of(initializer.type), to_string(initializer.shape)));
      size.reset();
    } else if (data.offset > *size || data.length > *size - data.offset) {
      findings.add(graph.file, fmt::format("the initializer {} has {} bytes from byte {} on in {}, which ends at {}",
                                           initializer.name, data.length, data.offset, data.location, *size));
      size.reset();
    }
  }
}

}  // namespace

std::optional<GraphFile> read_graph_file(const fs::path& package, const std::string& file, Findings& findings) {
  try {
    GraphFile graph{file, read_model_summary(package / file)};
    check_external_data(package, graph, findings);
    return graph;
  } catch (const Error& error) {
    add_error(package, error, findings);
    return std::nullopt;
  }
}

void add_error(const fs::path& package, const std::exception& error, Findings& findings) {
  std::string message = error.what();
  const std::string folder = (package / "").string();
  if (message.starts_with(folder)) message.erase(0, folder.size());
  findings.add(message);
}

std::string to_text(const ValueInfo& value) {
  std::vector<std::string> dims;
  for (const Dim& dim : value.dims)
    dims.push_back(std::holds_alternative<std::int64_t>(dim) ? std::to_string(std::get<std::int64_t>(dim))
                                                             : std::get<std::string>(dim));
  return fmt::format("{} [{}]", name_of(value.type), fmt::join(dims, ", "));
}

std::optional<std::int64_t> static_size(const ValueInfo& value, std::size_t axis) {
  if (axis >= value.dims.size() || !std::holds_alternative<std::int64_t>(value.dims[axis])) return std::nullopt;
  return std::get<std::int64_t>(value.dims[axis]);
}

std::optional<std::int64_t> last_size(const ValueInfo& value) {
  return value.dims.empty() ? std::nullopt : static_size(value, value.dims.size() - 1);
}

const ValueInfo* GraphReader::input(const std::string& name, const std::vector<DataType>& types, std::size_t rank) {
  asked_.insert(name);
  const ValueInfo* value = value_in(graph_->summary.inputs, name);
  if (value != nullptr) return of_form(*value, types, rank);
  add(fmt::format("has no input {}", name));
  complete_ = false;
  return nullptr;
}

const ValueInfo* GraphReader::output(const std::string& name, const std::vector<DataType>& types, std::size_t rank) {
  const ValueInfo* value = value_in(graph_->summary.outputs, name);
  if (value != nullptr) return of_form(*value, types, rank);
  add(fmt::format("has no output {}", name));
  return nullptr;
}

const ValueInfo* GraphReader::optional_input(const std::string& name, const std::vector<DataType>& types,
                                             std::size_t rank) {
  asked_.insert(name);
  const ValueInfo* value = value_in(graph_->summary.inputs, name);
  return value == nullptr ? nullptr : of_form(*value, types, rank);
}

bool GraphReader::has_input(const std::string& name) const {
  return value_in(graph_->summary.inputs, name) != nullptr;
}

void GraphReader::expect_all_fed() {
  if (!complete_) return;
  for (const ValueInfo& input : graph_->summary.inputs)
    if (!asked_.contains(input.name)) add(fmt::format("has an input {}, which {} does not feed", input.name, client_));
}

const ValueInfo* GraphReader::of_form(const ValueInfo& value, const std::vector<DataType>& types, std::size_t rank) {
  const bool type_known = std::find(types.begin(), types.end(), value.type) != types.end();
  if (type_known && value.dims.size() == rank && !value.sequence) return &value;
  std::vector<std::string_view> names;
  names.reserve(types.size());
  for (const DataType type : types) names.push_back(name_of(type));
  add(fmt::format("{} is {}, expected {} of rank {}", value.name, to_text(value), fmt::join(names, " or "), rank));
  return nullptr;
}

}  // namespace q3vl
