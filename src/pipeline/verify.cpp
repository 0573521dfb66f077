// The story of a proof: a package against the checkpoint that it was made from.
#include "qwen3vl_export/verify.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <set>

#include "backend/weight_blocks.h"
#include "base/file.h"
#include "base/parallel.h"
#include "base/sha256.h"
#include "config/image_config.h"
#include "contract/file_names.h"
#include "data/role_sizes.h"
#include "data/weight_check.h"
#include "image/model_image.h"
#include "onnx/model_differences.h"
#include "onnx/model_summary.h"
#include "package/genai/genai_config.h"
#include "pipeline/calibration_use.h"
#include "pipeline/input_statistics.h"
#include "pipeline/make_plan.h"
#include "pipeline/process.h"
#include "verify/cases.h"
#include "verify/numbers.h"

namespace q3vl {
namespace {

namespace fs = std::filesystem;

/// Which of the four are made.
struct Checks {
  bool graph = false;
  bool weights = false;
  bool numerics = false;
  bool quality = false;
};

Checks parse_checks(const std::vector<std::string>& names) {
  Checks checks;
  for (const std::string& name : names) {
    if (name == "graph")
      checks.graph = true;
    else if (name == "weights")
      checks.weights = true;
    else if (name == "numerics")
      checks.numerics = true;
    else if (name == "quality")
      checks.quality = true;
    else
      throw Error(ErrorKind::usage,
                  fmt::format("--checks names \"{}\", expected graph, weights, numerics or quality", name));
  }
  return checks;
}

/// The export that would make the package again: its manifest says how it was made.
ExportRequest request_of(const fs::path& package, const fs::path& checkpoint, int threads) {
  const fs::path path = package / kManifestFile;
  if (!fs::exists(path))
    throw Error(ErrorKind::bad_input, fmt::format("{}: is missing; expected a package of this program, whose manifest "
                                                  "records the recipe that it was made with",
                                                  path.string()));
  const Json document = read_json_file(path);
  const JsonObject manifest(document, path.string());
  manifest.object("recipe");
  ExportRequest request;
  request.checkpoint = checkpoint;
  request.recipe = path.string();
  request.threads = threads;
  if (!manifest.json().contains("components") || !manifest.json().at("components").is_array())
    manifest.fail("components is missing, expected a list of vision, embedding and text");
  request.components.clear();
  for (const Json& name : manifest.json().at("components"))
    request.components.push_back(name.is_string() ? name.get<std::string>() : describe(name));
  if (!manifest.has("layout"))
    manifest.fail("layout is missing: the package is of an older version of this program; export again");
  request.layout = manifest.string("layout");
  if (manifest.has("max_length")) request.max_length = manifest.integer("max_length", 1, INT64_MAX);
  if (manifest.has("max_pixels")) request.max_pixels = manifest.integer("max_pixels", 1, INT64_MAX);
  if (manifest.has("allow_nonfinite")) request.allow_nonfinite = manifest.boolean("allow_nonfinite");
  request.allow_unused = true;  // what the export left out is not its package's concern
  return request;
}

/// How a JSON file differs: each place as a JSON pointer. Falls back on the bytes for what is no JSON.
void compare_json(const std::string& name, const std::string& found, const std::string& expected,
                  std::vector<std::string>& findings) {
  const Json a = Json::parse(found, nullptr, /*allow_exceptions=*/false);
  const Json b = Json::parse(expected);
  if (a.is_discarded()) {
    findings.push_back(fmt::format("{}: is not JSON", name));
    return;
  }
  const Json patch = Json::diff(a, b);
  for (const Json& step : patch) {
    const Json::json_pointer place(step.at("path").get<std::string>());
    const auto value = [&](const Json& document) {
      return document.contains(place) ? describe(document.at(place)) : std::string("missing");
    };
    findings.push_back(fmt::format("{}: {} is {}, expected {}", name, place.to_string(), value(a), value(b)));
  }
  if (patch.empty()) findings.push_back(fmt::format("{}: is not written as this program writes it", name));
}

/// The manifest without what may differ from one installation to the next.
std::string without_versions(const std::string& manifest) {
  Json document = Json::parse(manifest, nullptr, /*allow_exceptions=*/false);
  if (!document.is_object()) return manifest;
  document.erase("versions");
  return document.dump();
}

/// The digests of the data files as the package's manifest has them, where they are digests: that they are right, check
/// and the comparison of the weights show.
std::map<std::string, std::string> data_digests(const PackagePlan& plan, const fs::path& package) {
  const Json document = Json::parse(read_text_file(package / kManifestFile), nullptr, /*allow_exceptions=*/false);
  std::map<std::string, std::string> digests;
  for (const auto& [name, size] : plan.layout.files()) {
    const Json::json_pointer place = Json::json_pointer("/files") / name / "sha256";
    if (document.contains(place) && document.at(place).is_string())
      digests[name] = document.at(place).get<std::string>();
  }
  return digests;
}

std::int64_t count_nodes(const fs::path& model) {
  std::int64_t nodes = 0;
  for (const auto& [name, count] : read_model_summary(model).operators) nodes += count;
  return nodes;
}

GraphCheck check_graphs(const PackagePlan& plan, const fs::path& package) {
  GraphCheck check;
  check.run = true;
  std::set<std::string> graphs;
  std::map<std::string, std::string> sha256 = data_digests(plan, package);
  for (const WrittenGraph& graph : plan.graphs) graphs.insert(graph.file);
  const auto present = [&](const std::string& name) {
    if (fs::is_regular_file(package / name)) return true;
    check.findings.push_back(fmt::format("{}: is missing", name));
    return false;
  };
  for (const auto& [file, expected] : plan.small_files) {
    sha256[file.name] = sha256_of(expected);
    if (!present(file.name)) continue;
    if (graphs.contains(file.name)) {
      try {
        for (const std::string& difference : model_differences(package / file.name, expected))
          check.findings.push_back(fmt::format("{}: {}", file.name, difference));
        check.nodes += count_nodes(package / file.name);
      } catch (const Error& error) {  // a damaged model is what this check is there to find
        if (error.kind() != ErrorKind::bad_input) throw;
        check.findings.emplace_back(error.what());
      }
      continue;
    }
    ++check.files;
    if (const std::string found = read_text_file(package / file.name); found != expected)
      compare_json(file.name, found, expected, check.findings);
  }
  for (const Asset& asset : plan.assets) {
    const std::string expected = read_text_file(plan.checkpoint->folder() / asset.name);
    sha256[asset.name] = sha256_of(expected);
    if (!present(asset.name)) continue;
    ++check.files;
    if (read_text_file(package / asset.name) != expected)
      check.findings.push_back(fmt::format("{}: differs from the checkpoint's", asset.name));
  }
  ++check.files;
  const std::string manifest = without_versions(read_text_file(package / kManifestFile));
  const std::string expected = without_versions(plan.manifest_text(sha256));
  if (manifest != expected) compare_json(kManifestFile, manifest, expected, check.findings);
  return check;
}

WeightsCheck check_weights(const PackagePlan& plan, const ExportRequest& made_by, const fs::path& package, int threads,
                           const ExportObserver& observer) {
  WeightsCheck check;
  check.run = true;
  const std::uint64_t total = bytes_to_encode(plan.layout, *plan.checkpoint);
  check.findings = weight_differences(
      plan.layout,
      {plan.checkpoint.get(), weight_blocks(), input_statistics(plan, obtain_calibration(made_by, plan, observer))},
      package, plan.allow_nonfinite, threads, [&](std::uint64_t done) {
        observer.progress({done, total, "compared", ""});
      });
  for (const PlacedWeight& placed : plan.layout.weights())
    check.tensors += static_cast<std::int64_t>(placed.part_offsets.size());
  for (const auto& [name, size] : plan.layout.files()) check.bytes += size;
  if (!check.findings.empty()) return check;  // they say more than digests could
  for (const auto& [name, digest] : data_digests(plan, package))
    if (fs::is_regular_file(package / name) && sha256_of_file(package / name) != digest)
      check.findings.push_back(fmt::format("{}: is not the file whose SHA-256 {} records", name, kManifestFile));
  return check;
}

std::vector<RoleBytes> role_bytes(const DataLayout& layout) {
  std::vector<RoleBytes> list;
  for (const RoleSize& size : sizes_by_role(layout))
    list.push_back({std::string(name_of(size.role)), to_string(size.encoding), size.bytes});
  return list;
}

/// The cases that the config gives, and those of the pictures and texts that the user names.
std::vector<VerifyCase> make_cases(const PackagePlan& plan, const VerifyRequest& request) {
  const bool pictures = !plan.components.text_only();
  if (!pictures && !request.images.empty())
    throw Error(ErrorKind::usage, fmt::format("--image {}: {} is a text-only package, which sees no pictures",
                                              request.images.front().string(), request.package.string()));
  if (!plan.components.text && !request.texts.empty())
    throw Error(ErrorKind::usage, fmt::format("--text {}: {} has no text decoder, which texts are for",
                                              request.texts.front().string(), request.package.string()));
  std::vector<Patches> images;
  std::vector<std::string> names;
  for (const fs::path& path : request.images) {
    const ImageConfig settings = read_image_config(request.checkpoint, *plan.config.vision);
    const RgbImage image =
        read_model_image(path, settings, plan.max_pixels > 0 ? plan.max_pixels : settings.max_pixels);
    images.push_back(image_patches({&image, 1}, settings));
    names.push_back(path.filename().string());
  }
  std::vector<VerifyCase> cases = verify_cases(plan.config, pictures, images, names);
  std::ranges::move(text_cases(plan.config, request.texts), std::back_inserter(cases));
  return cases;
}

}  // namespace

VerifyReport verify_package(const VerifyRequest& request, const ExportObserver& observer) {
  const auto start = std::chrono::steady_clock::now();
  const Checks checks = parse_checks(request.checks);
  if (!checks.quality && !request.texts.empty())
    throw Error(ErrorKind::usage, fmt::format("--text {}: only quality looks at texts, which --checks leaves out",
                                              request.texts.front().string()));
  const int threads = request.threads > 0 ? request.threads : available_processors();
  ExportRequest made_by = request_of(request.package, request.checkpoint, threads);
  made_by.calibration = request.calibration;
  const PackagePlan plan = make_plan(made_by, {});
  VerifyReport report{.package = request.package.string(),
                      .checkpoint = request.checkpoint.string(),
                      .recipe = plan.recipe.name,
                      .onnxruntime = {},
                      .cases = {},
                      .sizes = role_bytes(plan.layout),
                      .graph = {},
                      .weights = {},
                      .numerics = {},
                      .quality = {}};
  if (checks.graph) {
    observer.info("graph: the graphs and configs are made again and compared");
    report.graph = check_graphs(plan, request.package);
  }
  if (checks.weights) {
    observer.info("weights: every weight is encoded again and compared");
    report.weights = check_weights(plan, made_by, request.package, threads, observer);
  }
  if (checks.numerics || checks.quality) {
    const OnnxRuntime runtime(request.onnxruntime.empty() ? OnnxRuntime::default_library() : request.onnxruntime);
    report.onnxruntime = runtime.version();
    const EncodingPolicy policy =
        encoding_policy(plan.recipe, *plan.package_layout, plan.config.text.num_hidden_layers);
    const std::vector<VerifyCase> cases = make_cases(plan, request);
    for (const VerifyCase& item : cases) report.cases.push_back(item.name);
    check_numbers({.config = plan.config,
                   .checkpoint = *plan.checkpoint,
                   .layout = plan.layout,
                   .head_encoding = policy(Role::lm_head),
                   .embedding_encoding = policy(Role::embedding),
                   .package = request.package,
                   .package_layout = plan.package_layout,
                   .runtime = runtime,
                   .has_vision = plan.components.vision,
                   .has_embedding = plan.components.embedding,
                   .has_text = plan.components.text,
                   .cases = cases,
                   .tolerance = request.tolerance,
                   .max_kld = request.max_kld,
                   .threads = threads,
                   .observer = observer},
                  checks.numerics ? &report.numerics : nullptr, checks.quality ? &report.quality : nullptr);
  }
  plan.checkpoint->expect_unchanged();
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  report.peak_memory_bytes = peak_memory();
  return report;
}

}  // namespace q3vl
