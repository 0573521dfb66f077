// quality: what variants of an export cost, in bytes and in how far the package's next tokens are from the
// checkpoint's.
#include <fmt/format.h>

#include <cstdio>
#include <optional>

#include "bench.h"

namespace q3vl {
namespace {

namespace fs = std::filesystem;

struct Variant {
  std::string name;
  std::vector<std::string> flags;  ///< of qwen3vl-export
};

/// Every matrix of the language model, embedding and head in one form.
Variant alike(const std::string& spec) {
  return {"all " + spec, {"--text", spec, "--embedding", spec}};
}

const std::vector<Variant>& variants() {
  static const std::vector<Variant> list = {
      {"int4", {}},
      {"int4-small", {"--recipe", "int4-small"}},
      {"int4-mixed", {"--recipe", "int4-mixed"}},
      {"int4-fast", {"--recipe", "int4-fast"}},
      {"w8a8", {"--recipe", "w8a8"}},
      {"int8", {"--recipe", "int8"}},
      {"int4, int8 cache", {"--kv-cache", "int8"}},
      {"int4-rtn", {"--recipe", "int4-rtn"}},
      {"int4, importance from weights", {"--importance", "weights"}},
      alike("int4-rtn-sym"),
      alike("int4-kquant-sym"),
      alike("int4-grid-sym"),
      alike("int4-rtn-asym"),
      alike("int4-kquant-asym"),
      alike("int4-hqq-asym"),
      alike("int4-grid-asym"),
      alike("int4-block16-grid-asym"),
      alike("int4-block64-grid-asym"),
      alike("int4-block128-grid-asym"),
  };
  return list;
}

struct QualityCheckpoint {
  std::string name;
  fs::path folder;
  fs::path text;         ///< empty: verify's own cases
  fs::path calibration;  ///< data to calibrate on; empty: there is none
};

std::vector<QualityCheckpoint> checkpoints(const Settings& settings) {
  std::vector<QualityCheckpoint> list = {{"shapes (trained)",
                                          fs::path(Q3VL_SOURCE_DIR) / "tests/data/shapes/checkpoint",
                                          settings.quality_text, settings.quality_calibration}};
  for (const std::string distribution : {"normal", "heavy-tailed", "outlier-channels"})
    list.push_back({"tiny, " + distribution,
                    make_checkpoint(settings, "tiny-" + distribution, {"tiny", "--distribution", distribution}),
                    {},
                    {}});
  return list;
}

/// With a calibration also those that need one.
std::vector<Variant> variants_for(const QualityCheckpoint& checkpoint) {
  std::vector<Variant> list = variants();
  if (checkpoint.calibration.empty()) return list;
  list.push_back({"int4, importance from calibration", {"--calibrate", checkpoint.calibration}});
  list.push_back({"int4-gptq", {"--recipe", "int4-gptq", "--calibrate", checkpoint.calibration}});
  return list;
}

struct Run {
  std::uint64_t data_bytes;  ///< of the data files of model.onnx and embedding.onnx
  double weight_error;       ///< of the quantised weights, relative
  double kld, top1_agreement;
  std::int64_t positions;
  struct Text {
    double nll_checkpoint, nll_package;  ///< nats a token
  };
  std::optional<Text> text;
};

Run measure(const Settings& settings, const QualityCheckpoint& checkpoint, const Variant& variant) {
  const fs::path scratch = scratch_folder(settings);
  fs::remove_all(scratch);
  fs::create_directories(scratch);
  const fs::path package = scratch / "package";
  std::vector<std::string> arguments = {settings.program("qwen3vl-export"), checkpoint.folder, "--output", package,
                                        "--quiet"};
  arguments.insert(arguments.end(), variant.flags.begin(), variant.flags.end());
  run_child(arguments);
  arguments = {settings.program("qwen3vl-export"),
               "verify",
               package,
               "--checkpoint",
               checkpoint.folder,
               "--checks",
               "quality",
               "--json",
               "--quiet"};
  if (!checkpoint.text.empty()) arguments.insert(arguments.end(), {"--text", checkpoint.text});
  const Json quality = Json::parse(run_child(arguments).output).at("quality");
  double weight_error = 0;
  for (const Json& value : quality.at("components"))
    if (value.at("value") == "weights") weight_error = value.at("relative_error");
  Run run{.data_bytes = 0,
          .weight_error = weight_error,
          .kld = quality.at("mean_kld"),
          .top1_agreement = quality.at("top1_agreement"),
          .positions = std::ssize(quality.at("positions")),
          .text = std::nullopt};
  for (const char* file : {"model.onnx.data", "embedding.onnx.data"})
    if (fs::exists(package / file)) run.data_bytes += fs::file_size(package / file);
  if (!checkpoint.text.empty()) {
    const Json& text = quality.at("text");
    run.kld = text.at("kld");
    run.top1_agreement = text.at("top1_agreement");
    run.positions = text.at("positions");
    run.text = {.nll_checkpoint = text.at("nll_checkpoint"), .nll_package = text.at("nll_package")};
  }
  fs::remove_all(scratch);
  return run;
}

void print(const QualityCheckpoint& checkpoint, const Variant& variant, const Run& run) {
  fmt::print("| {} | {} | {} | {:.4f} | {:.3g} | {:.1f} % | {} |\n", checkpoint.name, variant.name, run.data_bytes,
             run.weight_error, run.kld, run.top1_agreement * 100,
             run.text ? fmt::format("{:.4f} ({:+.4f})", run.text->nll_package,
                                    run.text->nll_package - run.text->nll_checkpoint)
                      : "");
  std::fflush(stdout);
}

Json to_json(const QualityCheckpoint& checkpoint, const Variant& variant, const Run& run) {
  Json json = {{"checkpoint", checkpoint.name},        {"variant", variant.name},          {"flags", variant.flags},
               {"data_bytes", run.data_bytes},         {"weight_error", run.weight_error}, {"kld", run.kld},
               {"top1_agreement", run.top1_agreement}, {"positions", run.positions}};
  if (run.text) {
    json["nll_checkpoint"] = run.text->nll_checkpoint;
    json["nll_package"] = run.text->nll_package;
  }
  return json;
}

}  // namespace

Json measure_quality(const Settings& settings) {
  Json runs = Json::array();
  fmt::print(
      "| checkpoint | variant | bytes of text and embedding | weight error | KL divergence, nats | same top token | "
      "nats a token "
      "(package − checkpoint) |\n|---|---|---|---|---|---|---|\n");
  for (const QualityCheckpoint& checkpoint : checkpoints(settings))
    for (const Variant& variant : variants_for(checkpoint)) {
      const Run run = measure(settings, checkpoint, variant);
      print(checkpoint, variant, run);
      runs.push_back(to_json(checkpoint, variant, run));
    }
  return {{"measured_at", timestamp()}, {"text", settings.quality_text.string()}, {"runs", runs}};
}

}  // namespace q3vl
