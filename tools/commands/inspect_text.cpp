#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "commands/console.h"
#include "commands/inspect_report.h"

namespace q3vl {
namespace {

using Ranges = std::vector<std::pair<std::int64_t, std::int64_t>>;

constexpr std::size_t kLine = 110;  // columns, about
constexpr std::size_t kMaxFindings = 20;

/// 4022468096 → "4,022,468,096"; no number here is negative.
std::string grouped(std::int64_t number) {
  const std::string digits = std::to_string(number);
  std::string text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

std::string token_text(const std::optional<std::int64_t>& id) {
  return id ? std::to_string(*id) : "none";
}

/// How wide `text` is on a terminal: its characters, not its bytes.
std::size_t columns(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0U) != 0x80U; }));
}

std::string padded(const std::string& text, std::size_t width) {
  return text + std::string(width - std::min(width, columns(text)), ' ');
}

/// Items behind `head`, as many a line as fit.
void print_list(const std::string& head, const std::vector<std::string>& items) {
  std::string line = head;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const std::string item = fmt::format(" {}{}", items[i], i + 1 < items.size() ? "," : "");
    if (i > 0 && columns(line) + columns(item) > kLine) {
      fmt::print("{}\n", line);
      line.assign(columns(head), ' ');
    }
    line += item;
  }
  fmt::print("{}\n", line);
}

void print_findings(const std::vector<Finding>& findings) {
  if (findings.empty()) {
    fmt::print("findings: none\n");
    return;
  }
  fmt::print("findings: {}\n", findings.size());
  for (std::size_t i = 0; i < std::min(findings.size(), kMaxFindings); ++i)
    fmt::print("  {}: {}\n", findings[i].kind, findings[i].message);
  if (findings.size() > kMaxFindings)
    fmt::print("  and {} more (--json lists them all)\n", findings.size() - kMaxFindings);
}

void print_tensors(const std::vector<InspectedTensor>& tensors) {
  std::size_t name = 0;
  std::size_t shape = 0;
  for (const InspectedTensor& tensor : tensors) {
    name = std::max(name, tensor.name.size());
    shape = std::max(shape, shape_text(tensor.shape).size());
  }
  for (const InspectedTensor& tensor : tensors) {
    const std::string place =
        tensor.file.empty() ? "in the graph itself" : fmt::format("in {} from byte {} on", tensor.file, tensor.offset);
    fmt::print("  {:<{}}  {:<8}  {:<{}}  {:>12} bytes {}\n", tensor.name, name, tensor.type, shape_text(tensor.shape),
               shape, tensor.bytes, place);
  }
}

void print_config(const InspectedConfig& config) {
  const InspectedText& text = config.text;
  fmt::print("text    {} layers, hidden {}, MLP {}, {} heads, {} KV heads, head_dim {}, vocabulary {}, context {}\n",
             text.num_hidden_layers, text.hidden_size, text.intermediate_size, text.num_attention_heads,
             text.num_key_value_heads, text.head_dim, text.vocab_size, text.max_position_embeddings);
  fmt::print("        rope_theta {}, mrope_section {}, lm_head {}\n", text.rope_theta, shape_text(text.mrope_section),
             text.tie_word_embeddings ? "tied to embed_tokens" : "of its own");
  fmt::print("        tokens: bos {}, eos {}, pad {}\n", token_text(text.bos_token_id),
             text.eos_token_id.empty() ? "none" : fmt::format("{}", fmt::join(text.eos_token_id, ", ")),
             token_text(text.pad_token_id));
  if (!config.vision) return;
  const InspectedVision& vision = *config.vision;
  fmt::print("vision  {} blocks, hidden {}, MLP {}, {} heads, patches of {} × {} pixels × {} frames, merged {} × {}\n",
             vision.depth, vision.hidden_size, vision.intermediate_size, vision.num_heads, vision.patch_size,
             vision.patch_size, vision.temporal_patch_size, vision.spatial_merge_size, vision.spatial_merge_size);
  fmt::print("        {} positions, DeepStack after blocks {}\n", vision.num_position_embeddings,
             shape_text(vision.deepstack_visual_indexes));
  fmt::print("        tokens: image {}, video {}, vision_start {}, vision_end {}\n", vision.image_token_id,
             vision.video_token_id, vision.vision_start_token_id, vision.vision_end_token_id);
}

std::string type_text(const InspectedModule& module) {
  std::vector<std::string> types;
  for (const auto& [type, parameters] : module.parameters_by_type) types.push_back(type);
  return fmt::format("{}", fmt::join(types, " + "));
}

struct ModuleLine {
  std::string name;
  const InspectedModule* module;
};

/// A line a module; one that holds nothing but one other shares its line.
void list_modules(const InspectedModule& module, std::string name, std::size_t depth, std::vector<ModuleLine>& lines) {
  const InspectedModule* node = &module;
  const auto append = [&](const InspectedModule& part) {
    if (!name.empty()) name += ".";
    name += part.indexes.empty() ? part.name : index_text(part.indexes);
    if (part.copies > 1) name += fmt::format(" ({} ×)", part.copies);
  };
  append(*node);
  while (node->tensors.empty() && node->children.size() == 1) {
    node = &node->children.front();
    append(*node);
  }
  lines.push_back({std::string(2 * depth, ' ') + name, node});
  const bool numbered = !node->children.empty() && !node->children.back().indexes.empty();
  for (const InspectedModule& child : node->children) {
    // Numbers alone say little below a list that could not be folded into one line.
    const std::string list = numbered && !child.indexes.empty() ? node->name : "";
    list_modules(child, list, depth + 1, lines);
  }
}

void print_modules(const InspectedModule& root) {
  std::vector<ModuleLine> lines;
  for (const InspectedModule& child : root.children) list_modules(child, "", 0, lines);
  lines.push_back({"total", &root});
  std::size_t width = 0;
  std::size_t types = 0;
  for (const ModuleLine& line : lines) {
    width = std::max(width, columns(line.name));
    types = std::max(types, type_text(*line.module).size());
  }
  fmt::print("{}  {:>16}  {:>8}  {}\n", padded("module", width), "parameters", "size", "types and tensors");
  for (const auto& [name, module] : lines) {
    std::vector<std::string> tensors;
    for (const ModuleTensor& tensor : module->tensors)
      tensors.push_back(fmt::format("{} {}", tensor.name, shape_text(tensor.shape)));
    const std::string end = fmt::format("{:<{}}  {}", type_text(*module), types, fmt::join(tensors, ", "));
    fmt::print("{}  {:>16}  {:>8}  {}\n", padded(name, width), grouped(module->parameters), human_bytes(module->bytes),
               end.substr(0, end.find_last_not_of(' ') + 1));
  }
}

std::string value_text(const InspectedValue& value) {
  std::vector<std::string> dims;
  for (const auto& dim : value.shape)
    dims.push_back(std::holds_alternative<std::int64_t>(dim) ? std::to_string(std::get<std::int64_t>(dim))
                                                             : std::get<std::string>(dim));
  return fmt::format("{}{} [{}]", value.sequence ? "sequence of " : "", value.type, fmt::join(dims, ", "));
}

/// An input or output, or those of one type and shape whose names differ in one number.
struct ValueLine {
  std::string before;
  std::string after;
  std::string text;
  Ranges indexes;
};

ValueLine value_line(const InspectedValue& value) {
  const std::string& name = value.name;
  const auto digit = [](char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; };
  const auto begin = std::find_if(name.begin(), name.end(), digit);
  const auto end = std::find_if_not(begin, name.end(), digit);
  ValueLine line{.before = {name.begin(), begin}, .after = {end, name.end()}, .text = value_text(value), .indexes = {}};
  constexpr std::ptrdiff_t kMaxDigits = 9;
  if (begin == end || end - begin > kMaxDigits) return {.before = name, .after = "", .text = line.text, .indexes = {}};
  const std::int64_t index = std::stoll(std::string(begin, end));
  line.indexes.emplace_back(index, index);
  return line;
}

std::vector<ValueLine> value_lines(const std::vector<InspectedValue>& values) {
  std::vector<ValueLine> lines;
  for (const InspectedValue& value : values) {
    const ValueLine line = value_line(value);
    const auto alike = std::find_if(lines.begin(), lines.end(), [&](const ValueLine& other) {
      return !line.indexes.empty() && other.before == line.before && other.after == line.after &&
             other.text == line.text && !other.indexes.empty() &&
             other.indexes.back().second + 1 == line.indexes.front().first;
    });
    if (alike != lines.end())
      alike->indexes.back().second = line.indexes.back().second;
    else
      lines.push_back(line);
  }
  return lines;
}

void print_values(const InspectedGraph& graph) {
  const std::array kinds = {std::pair{"in ", value_lines(graph.inputs)}, std::pair{"out", value_lines(graph.outputs)}};
  const auto name = [](const ValueLine& line) { return line.before + index_text(line.indexes) + line.after; };
  std::size_t width = 0;
  for (const auto& [head, lines] : kinds)
    for (const ValueLine& line : lines) width = std::max(width, columns(name(line)));
  for (const auto& [head, lines] : kinds)
    for (const ValueLine& line : lines) fmt::print("  {}  {}  {}\n", head, padded(name(line), width), line.text);
}

void print_graph(const InspectedGraph& graph, bool tensors) {
  std::vector<std::string> opsets;
  for (const auto& [domain, version] : graph.opsets)
    opsets.push_back(fmt::format("{} {}", domain.empty() ? "opset" : domain, version));
  fmt::print("{}: {}, IR {}, {}, {} nodes, {} initializers\n", graph.file, human_bytes(graph.bytes), graph.ir_version,
             fmt::join(opsets, ", "), graph.nodes, graph.initializers.size());
  print_values(graph);
  std::vector<std::pair<std::int64_t, std::string>> counts;
  for (const auto& [op, count] : graph.operators) counts.emplace_back(-count, op);
  std::sort(counts.begin(), counts.end());
  std::vector<std::string> operators;
  for (const auto& [count, op] : counts)
    operators.push_back(fmt::format("{} {}", op.starts_with("com.microsoft.") ? op.substr(14) : op, -count));
  print_list("  ops ", operators);
  for (const InspectedQuantization& form : graph.quantized)
    fmt::print("  {} × {}: {} bits, blocks of {}\n", form.nodes, form.op, form.bits, form.block_size);
  if (tensors) print_tensors(graph.initializers);
}

void print_manifest(const InspectedManifest& manifest) {
  std::vector<std::string> versions;
  for (const auto& [name, version] : manifest.versions) versions.push_back(name + " " + version);
  fmt::print("recipe {}, components {}", manifest.recipe_name, fmt::join(manifest.components, ", "));
  if (manifest.max_length) fmt::print(", max_length {}", *manifest.max_length);
  if (manifest.max_pixels) fmt::print(", max_pixels {}", *manifest.max_pixels);
  fmt::print("\nwritten by {}\n", fmt::join(versions, ", "));
  for (const InspectedRole& role : manifest.roles) {
    std::vector<std::string> files;
    for (const auto& [file, bytes] : role.files) files.push_back(file);
    fmt::print("  {:<18} {:<24} {:>5} weights  {:>8}  {}\n", role.role, role.encoding, role.weights,
               human_bytes(role.bytes), fmt::join(files, ", "));
  }
}

void print_data_files(const std::vector<InspectedDataFile>& data_files) {
  for (const InspectedDataFile& data : data_files) {
    fmt::print("{}: {}, {} initializers of {}; {} bytes used", data.file.name,
               data.file.bytes ? human_bytes(*data.file.bytes) : "MISSING", data.initializers,
               fmt::join(data.graphs, " and "), data.used_bytes);
    if (data.shared_bytes > 0) fmt::print(", {} of them shared", data.shared_bytes);
    if (data.gaps > 0) fmt::print(", {} unused in {} gaps", data.unused_bytes, data.gaps);
    fmt::print("\n");
  }
}

void print_clients(const std::vector<InspectedClient>& clients) {
  for (const InspectedClient& client : clients) {
    std::vector<std::string> files;
    for (const InspectedFile& file : client.files) files.push_back(file.name + (file.bytes ? "" : " (MISSING)"));
    print_list(fmt::format("{} {}:", client.name, client.loads ? "loads" : "does NOT load"), files);
  }
}

}  // namespace

std::string index_text(const Ranges& indexes) {
  std::vector<std::string> ranges;
  for (const auto& [first, last] : indexes)
    ranges.push_back(first == last ? std::to_string(first) : fmt::format("{}–{}", first, last));
  return fmt::format("{}", fmt::join(ranges, ", "));
}

void print(const CheckpointInspection& report, bool tensors) {
  fmt::print("checkpoint: {} parameters in {} tensors, {}\n", grouped(report.model.parameters), report.tensors.size(),
             human_bytes(report.model.bytes));
  if (report.config) print_config(*report.config);
  print_modules(report.model);
  for (const InspectedShard& shard : report.shards)
    fmt::print("{}: {}, {} tensors\n", shard.file, human_bytes(shard.bytes), shard.tensors);
  if (tensors) print_tensors(report.tensors);
  print_findings(report.findings);
}

void print(const PackageInspection& report, bool tensors) {
  std::uint64_t bytes = 0;
  for (const InspectedFile& file : report.files) bytes += *file.bytes;
  fmt::print("package: {} files, {}\n", report.files.size(), human_bytes(bytes));
  if (report.manifest) print_manifest(*report.manifest);
  for (const InspectedGraph& graph : report.graphs) print_graph(graph, tensors);
  print_data_files(report.data_files);
  print_clients(report.clients);
  for (const std::string& note : report.notes) fmt::print("note: {}\n", note);
  print_findings(report.findings);
}

}  // namespace q3vl
