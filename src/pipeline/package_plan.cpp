#include "pipeline/package_plan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/file.h"
#include "chat/template_check.h"
#include "chat/template_source.h"
#include "config/generation_config.h"
#include "config/image_config.h"
#include "contract/file_names.h"
#include "onnx/onnx_model.h"
#include "package/chat_template_files.h"
#include "package/manifest.h"
#include "pipeline/checkpoint_check.h"
#include "pipeline/checkpoint_folder.h"
#include "qwen3vl/embedding/embedding_graph.h"
#include "qwen3vl/text/text_graph.h"
#include "qwen3vl/vision/vision_graph.h"

namespace q3vl {
namespace {

constexpr std::int64_t kDefaultMaxLength = 8192;

/// `names`, or without any all that the checkpoint has.
Components choose_components(const std::vector<std::string>& names, const Components& available,
                             const std::filesystem::path& checkpoint) {
  if (names.empty()) return available;
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
  if (components.text_only() || available.whole()) return components;
  throw Error(ErrorKind::usage,
              fmt::format("--components names {}, but {} is a plain language model, which has text alone",
                          fmt::join(components.names(), " and "), checkpoint.string()));
}

/// The components that a model of this config has.
Components components_of(const ModelConfig& config) {
  return {.vision = config.vision.has_value(), .embedding = config.vision.has_value(), .text = true};
}

bool has_int8_cache(const Recipe& recipe) {
  return recipe.kv_cache == KvCacheType::int8;
}

/// Why a client of the layout cannot run what is written, and which; empty if all can.
std::pair<std::string, const Client*> reason_against(const PackageLayout& layout, const Components& components,
                                                     const Recipe& recipe) {
  for (const Client* client : layout.clients)
    if (std::string reason = client->reason_against(components, has_int8_cache(recipe)); !reason.empty())
      return {reason, client};
  return {"", nullptr};
}

/// The first layout all of whose clients can run what is written.
const PackageLayout& layout_for(const Components& components, const Recipe& recipe) {
  for (const PackageLayout& layout : package_layouts())
    if (reason_against(layout, components, recipe).first.empty()) return layout;
  throw Error(ErrorKind::internal, "no layout has clients for what is written");
}

/// The layout that is asked for, or else layout_for() what is written.
const PackageLayout& choose_layout(const std::string& name, const Components& components, const Recipe& recipe) {
  if (name.empty()) return layout_for(components, recipe);
  const PackageLayout& layout = package_layout(name);
  if (const auto [reason, client] = reason_against(layout, components, recipe); !reason.empty())
    throw Error(ErrorKind::usage, fmt::format("--layout {} is for {} too, but {}; choose --layout {}", name,
                                              client->name, reason, layout_for(components, recipe).name));
  return layout;
}

/// What the graphs of a layout may be made of.
TargetProfile target_of(const Recipe& recipe, const PackageLayout& layout) {
  const TargetProfile& target = target_profile(recipe.target);
  return layout.in_browser ? in_browser(target) : target;
}

std::vector<NamedGraph> build_graphs(const ModelConfig& config, const Recipe& recipe, const Components& components,
                                     const PackageLayout& layout, WeightRequests& requests) {
  const TargetProfile target = target_of(recipe, layout);
  const OrderedJson resolved = recipe.to_json();
  const auto precision = [&](const char* part) { return resolved[part]["precision"].get<std::string>(); };
  std::vector<NamedGraph> graphs;
  const auto add = [&](const LayoutGraph& row, const std::string& contents) {
    graphs.push_back(
        {row.kind, std::string(row.file), contents, std::make_unique<Graph>(std::string(graph_name(row.kind)))});
    requests.begin_graph();
    return Builder{*graphs.back().graph, requests, target};
  };
  for (const LayoutGraph& row : layout.graphs) {
    if (!belongs_to(row.kind, components)) continue;
    switch (row.kind) {
      case GraphKind::vision:
        build_vision_graph(add(row, "visual tower, " + precision("vision")), config);
        break;
      case GraphKind::token_embedding:
        build_token_embedding_graph(add(row, "token embedding of Transformers.js, " + precision("embedding")), config);
        break;
      case GraphKind::embedding:
        build_embedding_graph(add(row, "token embedding, " + precision("embedding")), config);
        break;
      case GraphKind::text:
        build_text_graph(
            add(row, "text decoder, " + precision("text") + (has_int8_cache(recipe) ? ", int8 cache" : "")), config,
            {.embeddings_inside = components.text_only(),
             .all_logits = recipe.logits == Logits::all,
             .accuracy_level = recipe.accuracy_level,
             .int8_cache = has_int8_cache(recipe)});
        break;
    }
  }
  return graphs;
}

std::int64_t count_nodes(const Graph& graph) {
  auto count = static_cast<std::int64_t>(graph.nodes().size());
  for (const Node& node : graph.nodes())
    for (const Attribute& attribute : node.attributes)
      if (const auto* body = std::get_if<std::shared_ptr<Graph>>(&attribute.value)) count += count_nodes(**body);
  return count;
}

const Graph* find_graph(const std::vector<NamedGraph>& graphs, GraphKind kind) {
  const auto found = std::ranges::find(graphs, kind, &NamedGraph::kind);
  return found == graphs.end() ? nullptr : found->graph.get();
}

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

/// What browsers fetch beside each graph; nothing where graphs share weights, which browsers cannot follow.
BrowserDataFiles browser_data_files(const PackagePlan& plan) {
  BrowserDataFiles files;
  if (!plan.package_layout->in_browser) return files;
  for (const WrittenGraph& graph : plan.graphs)
    if (const auto count = plan.layout.files_of(std::string(graph_name(graph.kind))).size(); count > 0)
      files[std::filesystem::path(graph.file).stem()] = static_cast<std::int64_t>(count);
  return files;
}

/// The files that clients read beside the graphs, where the components make a package that one can load.
void add_client_files(PackagePlan& plan, const std::vector<NamedGraph>& graphs, const ExportRequest& request,
                      const ExportObserver& observer) {
  if (!plan.components.loadable()) {
    observer.warning(
        fmt::format("only {} is written, so there is no genai_config.json: onnxruntime-genai loads all three "
                    "components, or text alone",
                    fmt::join(plan.components.names(), " and ")));
    return;
  }
  plan.assets = assets(request.checkpoint, plan.components.whole());
  const TemplateSource chat = chat_template_of(request.checkpoint);
  if (!chat.disagreement.empty()) observer.warning(chat.disagreement);
  for (const std::string& warning :
       check_chat_template(ChatTemplate::of_folder(request.checkpoint), plan.components.whole()))
    observer.warning(warning);
  plan.max_length = choose_max_length(request, plan.config.text, observer);
  const GenerationConfig generation = read_generation_config(request.checkpoint, plan.config);
  std::optional<ImageConfig> image;
  if (plan.components.whole()) {
    std::vector<std::string> warnings;
    image = read_image_config(request.checkpoint, *plan.config.vision, &warnings);
    for (const std::string& warning : warnings) observer.warning(warning);
    plan.max_pixels = choose_max_pixels(request, *image, observer);
  }
  const ClientInputs inputs{.checkpoint = request.checkpoint,
                            .layout = plan.package_layout,
                            .target = &target_profile(plan.recipe.target),
                            .config = &plan.config,
                            .generation = &generation,
                            .image = image ? &*image : nullptr,
                            .chat_template = chat.text,
                            .graphs = {find_graph(graphs, GraphKind::vision), find_graph(graphs, GraphKind::embedding),
                                       find_graph(graphs, GraphKind::text)},
                            .data_files = browser_data_files(plan),
                            .max_length = plan.max_length,
                            .max_pixels = plan.max_pixels};
  // A file that is written replaces the checkpoint's own, and a client's the one that only got the chat template.
  const auto add = [&](ClientFile file) {
    std::erase_if(plan.assets, [&](const Asset& asset) { return asset.name == file.name; });
    std::erase_if(plan.small_files, [&](const SmallFile& other) { return other.file.name == file.name; });
    plan.small_files.push_back({{file.name, file.text.size(), file.contents}, std::move(file.text)});
  };
  for (const auto& [name, text] : settled_chat_template_files(request.checkpoint, chat.text))
    add({name, name == kTokenizerConfigFile ? "tokenizer settings, with the chat template" : "chat template", text});
  for (const Client* client : plan.package_layout->clients)
    for (ClientFile& file : client->files(inputs)) add(std::move(file));
}

/// The files that the manifest lists.
std::vector<ExportedFile> files_without_manifest(const PackagePlan& plan) {
  std::vector<ExportedFile> files;
  for (const auto& [file, text] : plan.small_files) {
    files.push_back(file);
    const auto graph = std::ranges::find(plan.graphs, file.name, &WrittenGraph::file);
    if (graph == plan.graphs.end()) continue;
    for (const std::string& data : plan.layout.files_of(std::string(graph_name(graph->kind))))
      files.push_back({data, plan.layout.files().at(data), "its weights"});
  }
  for (const Asset& asset : plan.assets) files.push_back({asset.name, asset.bytes, asset.contents});
  return files;
}

}  // namespace

EncodingPolicy encoding_policy(const Recipe& recipe, const PackageLayout& layout, std::int64_t layer_count) {
  EncodingPolicy by_recipe = recipe.policy(layer_count);
  if (target_of(recipe, layout).casts_bfloat16) return by_recipe;
  return [by_recipe = std::move(by_recipe)](const WeightUse& use) {
    const Encoding encoding = by_recipe(use);
    return encoding.format == Encoding::Format::stored ? Encoding{.format = Encoding::Format::float32} : encoding;
  };
}

WeightRequests request_whole_model(const ModelConfig& config, const Recipe& recipe, const Checkpoint& checkpoint) {
  WeightRequests requests(lookup_in(checkpoint), recipe.policy(config.text.num_hidden_layers));
  build_graphs(config, recipe, components_of(config), package_layouts().front(), requests);
  return requests;
}

CheckedModel check_model(const ExportRequest& request, const Recipe& recipe) {
  ModelConfig config = read_checkpoint_config(request.checkpoint);
  const Components chosen = choose_components(request.components, components_of(config), request.checkpoint);
  const PackageLayout& layout = choose_layout(request.layout, chosen, recipe);
  for (const TensorRule& rule : recipe.tensors) check_layers(rule, config.text.num_hidden_layers);
  auto opened = std::make_unique<Checkpoint>(open_checkpoint(request.checkpoint, config));

  WeightRequests written(lookup_in(*opened), encoding_policy(recipe, layout, config.text.num_hidden_layers));
  std::vector<NamedGraph> graphs = build_graphs(config, recipe, chosen, layout, written);
  if (chosen == components_of(config))
    check_weights(*opened, config.text, written, written, request.allow_unused);
  else
    check_weights(*opened, config.text, written, request_whole_model(config, recipe, *opened), request.allow_unused);
  return {.config = std::move(config),
          .components = chosen,
          .layout = &layout,
          .checkpoint = std::move(opened),
          .requests = std::move(written),
          .graphs = std::move(graphs)};
}

Recipe recipe_of(const ExportRequest& request) {
  const bool calibrated = !request.calibration.empty() || !request.calibrate.empty();
  const std::string importance = request.importance.empty() && calibrated ? "calibration" : request.importance;
  return resolve_recipe(request.recipe, {.target = request.target,
                                         .text = request.text,
                                         .embedding = request.embedding,
                                         .vision = request.vision,
                                         .logits = request.logits,
                                         .kv_cache = request.kv_cache,
                                         .block_size = request.block_size,
                                         .tensors = request.tensors,
                                         .importance = importance});
}

PackagePlan plan_of(const ExportRequest& request, const Recipe& recipe, const ExportObserver& observer) {
  CheckedModel model = check_model(request, recipe);
  for (const std::string& warning : model.config.warnings) observer.warning(warning);
  if (const std::string reason = reason_against(package_layouts().front(), model.components, recipe).first;
      request.layout.empty() && model.components.whole() && !reason.empty())
    observer.info(fmt::format("{}: the layout is {} (--layout)", reason, model.layout->name));
  PackagePlan plan{.config = std::move(model.config),
                   .recipe = recipe,
                   .components = model.components,
                   .package_layout = model.layout,
                   .checkpoint = std::move(model.checkpoint),
                   .requests = std::move(model.requests),
                   .graphs = {},
                   .layout = {},
                   .small_files = {},
                   .assets = {},
                   .allow_nonfinite = request.allow_nonfinite,
                   .source = {}};
  plan.source = fingerprint(*plan.checkpoint);
  for (const NamedGraph& named : model.graphs)
    plan.layout.place(*named.graph, plan.requests, plan.package_layout->data_files(named.kind));
  for (const NamedGraph& named : model.graphs) {
    std::string bytes = onnx_model(*named.graph, plan.layout, Q3VL_VERSION);
    plan.graphs.push_back({named.kind, named.file, named.contents, count_nodes(*named.graph)});
    plan.small_files.push_back({{named.file, bytes.size(), named.contents}, std::move(bytes)});
  }
  add_client_files(plan, model.graphs, request, observer);
  return plan;
}

std::string PackagePlan::manifest_text(const std::map<std::string, std::string>& sha256) const {
  ManifestInputs inputs{.versions = versions(),
                        .recipe = recipe,
                        .layout = layout,
                        .components = components.names(),
                        .package_layout = package_layout,
                        .max_length = max_length,
                        .max_pixels = max_pixels,
                        .allow_nonfinite = allow_nonfinite,
                        .source = source,
                        .files = {}};
  for (const ExportedFile& file : files_without_manifest(*this)) {
    const auto known = sha256.find(file.name);
    inputs.files[file.name] = {file.bytes, known == sha256.end() ? unknown_sha256() : known->second};
  }
  return manifest(inputs).dump(2) + "\n";
}

std::vector<ExportedFile> PackagePlan::files() const {
  std::vector<ExportedFile> files = files_without_manifest(*this);
  files.push_back({kManifestFile, manifest_text({}).size(), "how the package was made"});
  return files;
}

}  // namespace q3vl
