// The story of an export, on one page.
#include "qwen3vl_export/export.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <memory>

#include "base/file.h"
#include "base/parallel.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/weight_source.h"
#include "config/generation_config.h"
#include "config/image_config.h"
#include "config/model_config.h"
#include "package/assets.h"
#include "package/genai_config.h"
#include "package/genai_contract.h"
#include "package/manifest.h"
#include "package/vision_processor.h"
#include "pipeline/checkpoint_check.h"
#include "pipeline/package_folder.h"
#include "qwen3vl/embedding/embedding_graph.h"
#include "qwen3vl/text/text_graph.h"
#include "qwen3vl/vision/vision_graph.h"
#include "recipe/recipe.h"
#include "serialize/data_layout.h"
#include "serialize/data_writer.h"
#include "serialize/onnx_check.h"
#include "serialize/onnx_model.h"

namespace q3vl {
namespace {

constexpr std::int64_t kDefaultMaxLength = 8192;
constexpr std::int64_t kDefaultMaxPixels = 1'003'520;  // 980 tokens of 32 × 32 pixels

/// Which graphs are written.
struct Components {
  bool vision = false;
  bool embedding = false;
  bool text = false;

  bool whole() const { return vision && embedding && text; }
  bool text_only() const { return text && !vision && !embedding; }
  bool loadable() const { return whole() || text_only(); }

  std::vector<std::string> names() const {
    std::vector<std::string> list;
    if (vision) list.emplace_back("vision");
    if (embedding) list.emplace_back("embedding");
    if (text) list.emplace_back("text");
    return list;
  }
};

Components parse_components(const std::vector<std::string>& names) {
  Components components;
  for (const std::string& name : names) {
    if (name == "vision")
      components.vision = true;
    else if (name == "embedding")
      components.embedding = true;
    else if (name == "text")
      components.text = true;
    else
      throw Error(ErrorKind::usage, fmt::format("--components names \"{}\", expected vision, embedding or text", name));
  }
  if (components.names().empty())
    throw Error(ErrorKind::usage, "--components names nothing, expected vision, embedding or text");
  return components;
}

/// A graph of the package and the name of its file.
struct NamedGraph {
  std::string file;
  std::string contents;
  std::unique_ptr<Graph> graph;
};

std::vector<NamedGraph> build_graphs(const ModelConfig& config, const Recipe& recipe, const Components& components,
                                     WeightRequests& requests) {
  const TargetProfile& target = target_profile(recipe.target);
  std::vector<NamedGraph> graphs;
  const auto add = [&](const char* file, const char* name, std::string contents) {
    graphs.push_back({file, std::move(contents), std::make_unique<Graph>(name)});
    return Builder{*graphs.back().graph, requests, target};
  };
  const OrderedJson resolved = recipe.to_json();
  const auto precision = [&](const char* part) { return resolved[part]["precision"].get<std::string>(); };
  if (components.vision)
    build_vision_graph(add(kVisionModelFile, "vision", "visual tower, " + precision("vision")), config);
  if (components.embedding)
    build_embedding_graph(add(kEmbeddingModelFile, "embedding", "token embedding, " + precision("embedding")), config);
  if (components.text)
    build_text_graph(add(kTextModelFile, "text", "text decoder, " + precision("text")), config,
                     {.embeddings_inside = components.text_only(),
                      .all_logits = recipe.logits == Logits::all,
                      .accuracy_level = recipe.accuracy_level});
  return graphs;
}

const Graph* find_graph(const std::vector<NamedGraph>& graphs, const std::string& file) {
  const auto found = std::find_if(graphs.begin(), graphs.end(), [&](const NamedGraph& g) { return g.file == file; });
  return found == graphs.end() ? nullptr : found->graph.get();
}

/// A file whose bytes are known before the weights are read: a graph or a config.
struct SmallFile {
  ExportedFile file;
  std::string bytes;
};

/// Everything that is read and decided before a byte is written.
struct Plan {
  ModelConfig config;
  Recipe recipe;
  Components components;
  std::unique_ptr<Checkpoint> checkpoint;  // the requests look into it
  WeightRequests requests;
  std::vector<NamedGraph> graphs;
  DataLayout layout;
  std::vector<SmallFile> small_files;
  std::vector<Asset> assets;
  std::int64_t max_length = 0;
  std::int64_t max_pixels = 0;
};

std::int64_t choose_max_length(const ExportRequest& request, const TextConfig& text, const ExportObserver& observer) {
  const std::int64_t context = text.max_position_embeddings;
  if (request.max_length > context)
    throw Error(ErrorKind::usage,
                fmt::format("--max-length is {}, but the model's context is {} tokens (max_position_embeddings)",
                            request.max_length, context));
  const std::int64_t chosen = request.max_length > 0 ? request.max_length : std::min(kDefaultMaxLength, context);
  observer.info(
      fmt::format("max_length is {} tokens of the model's {}; clients reserve the cache for all of them (--max-length)",
                  chosen, context));
  return chosen;
}

std::int64_t choose_max_pixels(const ExportRequest& request, const ImageConfig& image, const ExportObserver& observer) {
  const std::int64_t wanted = request.max_pixels > 0 ? request.max_pixels : kDefaultMaxPixels;
  if (wanted < image.min_pixels)
    throw Error(
        ErrorKind::usage,
        fmt::format(
            "--max-pixels is {}, but the checkpoint enlarges every picture to {} pixels at least (size.shortest_edge)",
            wanted, image.min_pixels));
  if (request.max_pixels > image.max_pixels)
    observer.warning(fmt::format("--max-pixels {} is above the checkpoint's own limit, {}, which holds",
                                 request.max_pixels, image.max_pixels));
  const std::int64_t chosen = std::min(wanted, image.max_pixels);
  observer.info(
      fmt::format("larger pictures are scaled down to {} pixels; the checkpoint's own limit is {} (--max-pixels)",
                  chosen, image.max_pixels));
  return chosen;
}

/// genai_config.json and vision_processor.json, where the components make a package that a client can load.
void add_client_files(Plan& plan, const ExportRequest& request, const ExportObserver& observer) {
  if (!plan.components.loadable()) {
    observer.warning(
        fmt::format("only {} is written, so there is no genai_config.json: onnxruntime-genai loads all three "
                    "components, or text alone",
                    fmt::join(plan.components.names(), " and ")));
    return;
  }
  plan.assets = assets(request.checkpoint, plan.components.whole());
  plan.max_length = choose_max_length(request, plan.config.text, observer);
  const auto add = [&](const char* name, const char* contents, const OrderedJson& document) {
    const std::string text = document.dump(2) + "\n";
    plan.small_files.push_back({{name, text.size(), contents}, text});
  };
  const PackageGraphs graphs{find_graph(plan.graphs, kVisionModelFile), find_graph(plan.graphs, kEmbeddingModelFile),
                             find_graph(plan.graphs, kTextModelFile)};
  add(kGenaiConfigFile, "onnxruntime-genai's config",
      genai_config(graphs, plan.config, read_generation_config(request.checkpoint, plan.config), plan.max_length));
  if (!plan.components.whole()) return;
  const ImageConfig image = read_image_config(request.checkpoint, plan.config.vision);
  plan.max_pixels = choose_max_pixels(request, image, observer);
  add(kVisionProcessorFile, "onnxruntime-genai's image transforms", vision_processor(image, plan.max_pixels));
}

std::string data_file(const std::string& model_file) {
  return model_file + ".data";
}

Plan make_plan(const ExportRequest& request, const ExportObserver& observer) {
  const Components components = parse_components(request.components);
  Recipe recipe = resolve_recipe(request.recipe, {request.target, request.text, request.embedding, request.vision,
                                                  request.logits, request.block_size});
  ModelConfig config = read_model_config(request.checkpoint);
  auto checkpoint = std::make_unique<Checkpoint>(Checkpoint::open(request.checkpoint));

  // The whole model is asked for once to know its tensors, whatever is written.
  WeightRequests whole(lookup_in(*checkpoint), recipe.policy());
  build_graphs(config, recipe, {true, true, true}, whole);
  WeightRequests written(lookup_in(*checkpoint), recipe.policy());
  std::vector<NamedGraph> graphs = build_graphs(config, recipe, components, written);
  check_weights(*checkpoint, config.text, written, whole, request.allow_unused);

  Plan plan{.config = std::move(config),
            .recipe = std::move(recipe),
            .components = components,
            .checkpoint = std::move(checkpoint),
            .requests = std::move(written),
            .graphs = std::move(graphs),
            .layout = {},
            .small_files = {},
            .assets = {}};
  for (const NamedGraph& named : plan.graphs) plan.layout.place(*named.graph, plan.requests, data_file(named.file));
  for (const NamedGraph& named : plan.graphs) {
    std::string bytes = onnx_model(*named.graph, plan.layout, Q3VL_VERSION);
    plan.small_files.push_back({{named.file, bytes.size(), named.contents}, std::move(bytes)});
  }
  add_client_files(plan, request, observer);
  return plan;
}

/// The files of the finished package, but for the manifest, which lists them.
std::vector<ExportedFile> list_files(const Plan& plan, const std::filesystem::path& checkpoint) {
  std::vector<ExportedFile> files;
  for (const auto& [file, text] : plan.small_files) {
    files.push_back(file);
    const auto data = plan.layout.files().find(data_file(file.name));
    if (data != plan.layout.files().end()) files.push_back({data->first, data->second, "its weights"});
  }
  for (const Asset& asset : plan.assets)
    files.push_back({asset.name, std::filesystem::file_size(checkpoint / asset.name), asset.contents});
  return files;
}

/// Returns the manifest's own row.
ExportedFile write_manifest(const Plan& plan, const std::vector<ExportedFile>& files,
                            const std::filesystem::path& folder) {
  ManifestInputs inputs{.versions = versions(),
                        .recipe = plan.recipe,
                        .layout = plan.layout,
                        .components = plan.components.names(),
                        .max_length = plan.max_length,
                        .max_pixels = plan.max_pixels,
                        .files = {}};
  for (const ExportedFile& file : files) inputs.files[file.name] = file.bytes;
  const std::string text = manifest(inputs).dump(2) + "\n";
  write_text_file(folder / kManifestFile, text);
  return {kManifestFile, text.size(), "how the package was made"};
}

/// Everything that a client would stumble over, found before the package gets its name.
void check_package(const Plan& plan, const std::filesystem::path& folder) {
  for (const NamedGraph& named : plan.graphs) check_onnx_file(folder / named.file);
  if (!plan.components.loadable()) return;
  const std::vector<std::string> findings = genai_contract_findings(folder);
  if (!findings.empty())
    throw Error(ErrorKind::bad_input,
                fmt::format("the package would not load in onnxruntime-genai: {}", fmt::join(findings, "; ")));
}

std::uint64_t peak_memory() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

}  // namespace

ExportReport export_package(const ExportRequest& request, const ExportObserver& observer) {
  const auto start = std::chrono::steady_clock::now();
  const Plan plan = make_plan(request, observer);
  PackageFolder folder(request.output, request.checkpoint, request.force);
  ExportReport report{.files = list_files(plan, request.checkpoint), .seconds = 0, .peak_memory_bytes = 0};
  std::uint64_t bytes = 0;
  for (const ExportedFile& file : report.files) bytes += file.bytes;
  folder.require_free_space(bytes);

  const int threads = request.threads > 0 ? request.threads : available_processors();
  observer.detail(
      fmt::format("{} weights, {} bytes to write, {} threads", plan.layout.weights().size(), bytes, threads));
  const std::uint64_t total = bytes_to_encode(plan.layout);
  write_data_files(plan.layout, *plan.checkpoint, folder.path(), threads, [&](std::uint64_t done) {
    observer.progress({done, total});
  });
  for (const auto& [file, text] : plan.small_files) write_text_file(folder.path() / file.name, text);
  copy_assets(request.checkpoint, plan.assets, folder.path());
  report.files.push_back(write_manifest(plan, report.files, folder.path()));
  check_package(plan, folder.path());
  throw_if_interrupted();
  folder.commit();

  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  report.peak_memory_bytes = peak_memory();
  return report;
}

std::vector<std::pair<std::string, std::string>> versions() {
  std::vector<std::pair<std::string, std::string>> list = {{"qwen3vl-export", Q3VL_VERSION},
                                                           {"libtorch", libtorch_version()}};
  for (auto& version : onnx_versions()) list.push_back(std::move(version));
  return list;
}

void request_interrupt() {
  interrupt_requested = true;
}

}  // namespace q3vl
