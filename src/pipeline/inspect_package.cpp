// The story of looking at a package: its graphs, the bytes that they refer to, and what each client will read of it.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>
#include <limits>
#include <set>

#include "base/json.h"
#include "chat/template_source.h"
#include "contract/file_names.h"
#include "onnx/model_summary.h"
#include "package/client.h"
#include "package/transformers_js/names.h"
#include "qwen3vl_export/inspect.h"

namespace q3vl {
namespace {

namespace fs = std::filesystem;

constexpr const char* kRuntime = "onnxruntime";

/// The files that check_tokenizer() of package/tokenizer_contract.h reads; the latter two are read where they exist.
constexpr std::array kTokenizerFiles = {kTokenizerFile, kTokenizerConfigFile};
constexpr std::array kOwnTemplateFiles = {kTemplateJinjaFile, kTemplateJsonFile};

struct Range {
  std::uint64_t begin;
  std::uint64_t end;
};

Range range_of(const InspectedTensor& tensor) {
  const std::uint64_t room = std::numeric_limits<std::uint64_t>::max() - tensor.offset;
  return {tensor.offset, tensor.offset + std::min(tensor.bytes, room)};
}

/// The ranges without their overlaps, in order.
std::vector<Range> merged(std::vector<Range> ranges) {
  std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) { return a.begin < b.begin; });
  std::vector<Range> result;
  for (const Range& range : ranges) {
    if (range.begin == range.end) continue;
    if (!result.empty() && range.begin <= result.back().end)
      result.back().end = std::max(result.back().end, range.end);
    else
      result.push_back(range);
  }
  return result;
}

std::uint64_t total(const std::vector<Range>& ranges) {
  std::uint64_t bytes = 0;
  for (const Range& range : ranges) bytes += range.end - range.begin;
  return bytes;
}

/// The bytes that stand in both.
std::vector<Range> common(const std::vector<Range>& a, const std::vector<Range>& b) {
  std::vector<Range> result;
  for (const Range& x : a)
    for (const Range& y : b)
      if (std::max(x.begin, y.begin) < std::min(x.end, y.end))
        result.push_back({std::max(x.begin, y.begin), std::min(x.end, y.end)});
  return result;
}

std::vector<std::string> strings(const JsonObject& object, const std::string& key) {
  std::vector<std::string> list;
  const Json* values = object.has(key) ? &object.json().at(key) : nullptr;
  if (!values || !values->is_array()) object.fail(fmt::format("{} is no array of strings", object.path_of(key)));
  for (const Json& value : *values) {
    if (!value.is_string())
      object.fail(fmt::format("{} holds {}, expected strings", object.path_of(key), describe(value)));
    list.push_back(value.get<std::string>());
  }
  return list;
}

class PackageInspector {
 public:
  explicit PackageInspector(fs::path folder) : folder_(std::move(folder)) {}

  PackageInspection inspect() {
    list_files();
    if (find_file(kManifestFile))
      try_to("manifest", [&] { read_manifest(); });
    else
      report_.notes.push_back(fmt::format("there is no {}: nothing says how the package was made", kManifestFile));
    for (const InspectedFile& file : report_.files)
      if (file.name.ends_with(".onnx")) try_to("graph", [&] { read_graph(file); });
    if (report_.graphs.empty()) add("graph", fmt::format("{}: holds no .onnx file that can be read", folder_.string()));
    map_data();
    inspect_runtime();
    inspect_genai();
    inspect_transformers_js();
    return std::move(report_);
  }

 private:
  void list_files() {
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder_))
      if (entry.is_regular_file())
        report_.files.push_back({entry.path().lexically_relative(folder_).string(), std::uint64_t{entry.file_size()}});
    std::sort(report_.files.begin(), report_.files.end(),
              [](const InspectedFile& a, const InspectedFile& b) { return a.name < b.name; });
  }

  const InspectedFile* find_file(const std::string& name) const {
    const auto found = std::find_if(report_.files.begin(), report_.files.end(),
                                    [&](const InspectedFile& file) { return file.name == name; });
    return found == report_.files.end() ? nullptr : &*found;
  }

  /// A file that may lie in a folder of the package.
  InspectedFile look_up(const std::string& name) const {
    std::error_code error;
    if (!fs::is_regular_file(folder_ / name, error)) return {name, std::nullopt};
    return {name, std::uint64_t{fs::file_size(folder_ / name)}};
  }

  void read_manifest() {
    const std::string path = (folder_ / kManifestFile).string();
    const Json document = read_json_file(path);
    const JsonObject root(document, path);
    InspectedManifest manifest;
    const JsonObject versions = root.object("versions");
    for (const auto& item : versions.json().items()) manifest.versions[item.key()] = versions.string(item.key());
    manifest.recipe_name = root.string("recipe_name");
    manifest.components = strings(root, "components");
    constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
    if (root.has("max_length")) manifest.max_length = root.integer("max_length", 1, kMost);
    if (root.has("max_pixels")) manifest.max_pixels = root.integer("max_pixels", 1, kMost);
    const auto bytes_in = [](const JsonObject& object, const std::string& key) {
      return static_cast<std::uint64_t>(object.integer(key, 0, kMost));
    };
    const JsonObject roles = root.object("roles");
    for (const auto& item : roles.json().items()) {
      const JsonObject role = roles.object(item.key());
      InspectedRole row{.role = item.key(),
                        .encoding = role.string("encoding"),
                        .weights = role.integer("weights", 0, kMost),
                        .bytes = bytes_in(role, "bytes"),
                        .files = {}};
      const JsonObject files = role.object("files");
      for (const auto& file : files.json().items()) row.files[file.key()] = bytes_in(files, file.key());
      manifest.roles.push_back(std::move(row));
    }
    const JsonObject files = root.object("files");
    for (const auto& file : files.json().items()) compare_file(file.key(), bytes_in(files.object(file.key()), "bytes"));
    report_.manifest = std::move(manifest);
  }

  /// Configs may be edited by hand; what is gone, nobody meant.
  void compare_file(const std::string& name, std::uint64_t bytes) {
    const InspectedFile* found = find_file(name);
    if (!found)
      add("manifest", fmt::format("{}: is missing, but {} lists it", name, kManifestFile));
    else if (*found->bytes != bytes)
      report_.notes.push_back(
          fmt::format("{} has {} bytes, but {} when the package was written", name, *found->bytes, bytes));
  }

  void read_graph(const InspectedFile& file) {
    const ModelSummary summary = read_model_summary(folder_ / file.name);
    InspectedGraph graph{.file = file.name,
                         .bytes = *file.bytes,
                         .ir_version = summary.ir_version,
                         .opsets = summary.opset_imports,
                         .inputs = values(summary.inputs),
                         .outputs = values(summary.outputs),
                         .nodes = 0,
                         .operators = {},
                         .quantized = {},
                         .initializers = {}};
    for (const auto& [op, count] : summary.operators) {
      graph.operators[op] = count;
      graph.nodes += count;
    }
    for (const auto& [form, nodes] : summary.quantized)
      graph.quantized.push_back({form.op, form.bits, form.block_size, nodes});
    for (const InitializerSummary& initializer : summary.initializers) {
      InspectedTensor tensor{
          .name = initializer.name,
          .type = std::string(name_of(initializer.type)),
          .shape = initializer.shape,
          .file = "",
          .offset = 0,
          .bytes = static_cast<std::uint64_t>(element_count(initializer.shape)) * size_of(initializer.type)};
      if (initializer.external) {
        tensor.file = (fs::path(file.name).parent_path() / initializer.external->location).string();
        tensor.offset = initializer.external->offset;
        tensor.bytes = initializer.external->length;
      }
      graph.initializers.push_back(std::move(tensor));
    }
    report_.graphs.push_back(std::move(graph));
  }

  static std::vector<InspectedValue> values(const std::vector<ValueInfo>& infos) {
    std::vector<InspectedValue> result;
    for (const ValueInfo& info : infos)
      result.push_back({info.name, std::string(name_of(info.type)), info.dims, info.sequence});
    return result;
  }

  void map_data() {
    std::set<std::string> names;
    for (const InspectedGraph& graph : report_.graphs)
      for (const InspectedTensor& tensor : graph.initializers)
        if (!tensor.file.empty()) names.insert(tensor.file);
    for (const std::string& name : names) map_data_file(name);
  }

  void map_data_file(const std::string& name) {
    InspectedDataFile data{.file = look_up(name),
                           .graphs = {},
                           .initializers = 0,
                           .used_bytes = 0,
                           .shared_bytes = 0,
                           .gaps = 0,
                           .unused_bytes = 0};
    std::vector<Range> used;    // by the graphs so far
    std::vector<Range> shared;  // by two of them or more
    for (const InspectedGraph& graph : report_.graphs) {
      std::vector<Range> ranges;
      for (const InspectedTensor& tensor : graph.initializers)
        if (tensor.file == name) ranges.push_back(range_of(tensor));
      if (ranges.empty()) continue;
      data.graphs.push_back(graph.file);
      data.initializers += static_cast<std::int64_t>(ranges.size());
      const std::vector<Range> of_graph = merged(std::move(ranges));
      for (const Range& range : common(used, of_graph)) shared.push_back(range);
      used.insert(used.end(), of_graph.begin(), of_graph.end());
      used = merged(std::move(used));
      check_ends(graph, data.file);
    }
    data.used_bytes = total(used);
    data.shared_bytes = total(merged(std::move(shared)));
    std::uint64_t reached = 0;
    const auto gap_until = [&](std::uint64_t end) {
      if (end <= reached) return;
      ++data.gaps;
      data.unused_bytes += end - reached;
    };
    for (const Range& range : used) {
      gap_until(range.begin);
      reached = range.end;
    }
    if (data.file.bytes) gap_until(*data.file.bytes);
    report_.data_files.push_back(std::move(data));
  }

  /// One finding a graph and file, however many initializers share the fault.
  void check_ends(const InspectedGraph& graph, const InspectedFile& file) {
    if (!file.bytes) {
      add("data", fmt::format("{}: has weights in {}, which is missing", graph.file, file.name));
      return;
    }
    const InspectedTensor* last = nullptr;
    for (const InspectedTensor& tensor : graph.initializers)
      if (tensor.file == file.name && (!last || range_of(tensor).end > range_of(*last).end)) last = &tensor;
    if (range_of(*last).end <= *file.bytes) return;
    add("data", fmt::format("{}: the initializer {} has {} bytes from byte {} on in {}, which ends at {}; the file was "
                            "cut short",
                            graph.file, last->name, last->bytes, last->offset, file.name, *file.bytes));
  }

  void inspect_runtime() {
    InspectedClient client{.name = kRuntime, .files = {}, .loads = true};
    for (const InspectedGraph& graph : report_.graphs) client.files.push_back({graph.file, graph.bytes});
    for (const InspectedDataFile& data : report_.data_files) client.files.push_back(data.file);
    client.loads = std::none_of(report_.findings.begin(), report_.findings.end(),
                                [](const Finding& f) { return f.kind == "graph" || f.kind == "data"; });
    report_.clients.push_back(std::move(client));
  }

  void inspect_genai() {
    if (!find_file(kGenaiConfigFile)) {
      report_.notes.push_back(
          fmt::format("there is no {}: {} does not load this package", kGenaiConfigFile, kGenai.name));
      return;
    }
    const std::vector<std::string> sentences = kGenai.findings(folder_);
    for (const std::string& sentence : sentences) add(kGenai.name, sentence);
    InspectedClient client{
        .name = std::string(kGenai.name), .files = {look_up(kGenaiConfigFile)}, .loads = sentences.empty()};
    try {
      list_genai_files(read_json_file(folder_ / kGenaiConfigFile), client.files);
    } catch (const Error&) {
      // The contract's findings say what is wrong with it.
    }
    report_.clients.push_back(std::move(client));
  }

  void inspect_transformers_js() {
    const std::string embedding(transformers_js::kEmbedTokensFile);
    if (!find_file(embedding)) {
      report_.notes.push_back(
          fmt::format("there is no {}: {} does not load this package", embedding, kTransformersJs.name));
      return;
    }
    const std::vector<std::string> sentences = kTransformersJs.findings(folder_);
    for (const std::string& sentence : sentences) add(kTransformersJs.name, sentence);
    InspectedClient client{.name = std::string(kTransformersJs.name), .files = {}, .loads = sentences.empty()};
    std::set<std::string> names = {kConfigFile, kPreprocessorFile, kTokenizerFile, kTokenizerConfigFile};
    for (const std::string_view graph :
         {transformers_js::kVisionEncoderFile, transformers_js::kEmbedTokensFile, transformers_js::kDecoderFile}) {
      const std::string file(graph);
      names.insert(file);
      names.merge(data_files_of(file));
    }
    if (find_file(kGenerationConfigFile)) names.insert(kGenerationConfigFile);
    for (const std::string& name : names) client.files.push_back(look_up(name));
    report_.clients.push_back(std::move(client));
  }

  /// The files that hold weights of a graph.
  std::set<std::string> data_files_of(const std::string& graph_name) const {
    std::set<std::string> names;
    for (const InspectedGraph& graph : report_.graphs)
      if (graph.file == graph_name)
        for (const InspectedTensor& tensor : graph.initializers)
          if (!tensor.file.empty()) names.insert(tensor.file);
    return names;
  }

  void list_genai_files(const Json& config, std::vector<InspectedFile>& files) const {
    const auto named = [&](const char* pointer) -> std::optional<std::string> {
      const Json::json_pointer place(pointer);
      if (!config.contains(place) || !config[place].is_string()) return std::nullopt;
      return config[place].get<std::string>();
    };
    std::set<std::string> data;
    for (const char* pointer : {"/model/vision/filename", "/model/embedding/filename", "/model/decoder/filename"})
      if (const auto name = named(pointer)) {
        files.push_back(look_up(*name));
        data.merge(data_files_of(*name));
      }
    for (const std::string& name : data) files.push_back(look_up(name));
    if (const auto name = named("/model/vision/config_filename")) files.push_back(look_up(*name));
    const fs::path tokenizer = named("/model/tokenizer_dir").value_or("");
    for (const char* name : kTokenizerFiles) files.push_back(look_up((tokenizer / name).string()));
    for (const std::string_view name : kOwnTemplateFiles)
      if (InspectedFile file = look_up((tokenizer / name).string()); file.bytes) files.push_back(std::move(file));
  }

  /// What `read` refuses becomes a finding; its message opens with the file's name instead of its path.
  void try_to(const char* kind, const std::function<void()>& read) {
    try {
      read();
    } catch (const Error& error) {
      if (error.kind() != ErrorKind::bad_input) throw;
      std::string message = error.what();
      const std::string prefix = (folder_ / "").string();
      if (message.starts_with(prefix)) message.erase(0, prefix.size());
      add(kind, message);
    }
  }

  void add(std::string_view kind, std::string message) {
    report_.findings.push_back({std::string(kind), "", std::move(message)});
  }

  fs::path folder_;
  PackageInspection report_;
};

}  // namespace

PackageInspection inspect_package(const std::filesystem::path& folder) {
  return PackageInspector(folder).inspect();
}

}  // namespace q3vl
