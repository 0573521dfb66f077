#include <fmt/format.h>

#include <algorithm>

#include "base/file.h"
#include "commands/command.h"
#include "commands/console.h"
#include "qwen3vl_export/verify.h"

namespace q3vl {
namespace {

constexpr const char* kVerifyDescription =
    "Proves a package against the checkpoint that it was made from:\n"
    "  graph     the graphs and configs are made again and compared node for node, attribute for attribute\n"
    "  weights   every weight is encoded again and compared byte for byte\n"
    "  numerics  the package in ONNX Runtime against an independent forward pass with the package's own weights\n"
    "  quality   the package as it is shipped against the checkpoint's own weights";

constexpr std::size_t kMostFindings = 10;

void print_findings(const VerifyFindings& check) {
  for (std::size_t i = 0; i < std::min(check.findings.size(), kMostFindings); ++i)
    fmt::print("    {}\n", check.findings[i]);
  if (check.findings.size() > kMostFindings)
    fmt::print("    and {} more (--json lists them all)\n", check.findings.size() - kMostFindings);
}

/// The line that opens a check's part of the report.
void print_head(const char* name, const VerifyFindings& check, const std::string& details) {
  if (check.run) fmt::print("{:<9} {}  {}\n", name, check.ok() ? "passed" : "FAILED", details);
}

void print(const VerifyReport& report) {
  print_head("graph", report.graph,
             fmt::format("{} nodes and {} other files compared", report.graph.nodes, report.graph.files));
  print_findings(report.graph);
  print_head("weights", report.weights,
             fmt::format("{} tensors in {} compared", report.weights.tensors, human_bytes(report.weights.bytes)));
  print_findings(report.weights);
  double largest = 0;
  for (const NumericsRow& row : report.numerics.rows) largest = std::max(largest, row.error);
  print_head("numerics", report.numerics,
             fmt::format("{} values compared in ONNX Runtime {}; largest error {:.2g}, tolerance {:.2g}",
                         report.numerics.rows.size(), report.onnxruntime, largest, report.numerics.tolerance));
  print_findings(report.numerics);
  const QualityCheck& quality = report.quality;
  print_head(
      "quality", quality,
      fmt::format("KL divergence {:.4g} nats (largest {:.4g}), same top token at {:.1f} % of {} positions",
                  quality.mean_kld, quality.largest_kld, quality.top1_agreement * 100, quality.positions.size()));
  print_findings(quality);
  if (const auto& text = quality.text)
    fmt::print(
        "    {:<14} KL divergence {:.4g} nats, same top token at {:.1f} % of {} positions; {:.4f} nats a token, the "
        "checkpoint's {:.4f}\n",
        "texts given", text->kld, text->top1_agreement * 100, text->positions, text->nll_package, text->nll_checkpoint);
  for (const ValueQuality& value : quality.components)
    fmt::print("    {:<14} cosine {:.8f}  relative error {:.2e}\n", value.value, value.cosine, value.relative_error);
  for (const ValueQuality& value : quality.layers)
    fmt::print("    {:<14} cosine {:.8f}  relative error {:.2e}\n", value.value, value.cosine, value.relative_error);
  fmt::print("{} {}: {:.1f} s, peak memory {}\n", report.package,
             report.ok() ? "is proven" : "is NOT what it should be", report.seconds,
             human_bytes(report.peak_memory_bytes));
}

}  // namespace

int verify_command(int argc, char** argv) {
  CLI::App app(kVerifyDescription, "qwen3vl-export verify");
  app.footer(fmt::format("Exit codes: 0 all checks passed, {} one failed; others as of qwen3vl-export.",
                         static_cast<int>(ErrorKind::verification)));
  VerifyRequest request;
  std::filesystem::path html;
  bool json = false;
  LogOptions log;
  app.add_option("package", request.package, "Folder that an export wrote")->type_name("PACKAGE")->required();
  app.add_option("--checkpoint", request.checkpoint, "The checkpoint that it was made from")
      ->type_name("CHECKPOINT")
      ->required();
  app.add_option("--checks", request.checks, "Some of the checks (all)")
      ->delimiter(',')
      ->type_name("graph,weights,numerics,quality");
  app.add_option("--image", request.images, "A picture (PNG or JPEG) to prove the package on as well; may be repeated")
      ->type_name("FILE");
  app.add_option(
         "--text", request.texts,
         "A JSON file of token ids, {\"sequences\": [{\"input_ids\": [...]}, ...]}, to judge quality on as well; "
         "may be repeated")
      ->type_name("FILE");
  app.add_option("--tolerance", request.tolerance, "Of numerics")
      ->check(CLI::PositiveNumber)
      ->capture_default_str()
      ->type_name("ERROR");
  app.add_option("--max-kld", request.max_kld, "Fail when the mean KL divergence is larger, in nats")
      ->check(CLI::NonNegativeNumber)
      ->type_name("NATS");
  app.add_option("--onnxruntime", request.onnxruntime,
                 "The libonnxruntime.so to prove it on (Q3VL_ONNXRUNTIME_LIBRARY, or the one installed)")
      ->type_name("FILE");
  app.add_option("--calibration", request.calibration, "The calibration that the package was quantised with")
      ->type_name("FILE");
  app.add_option("--report", html, "Write the report as an HTML page")->type_name("FILE.html");
  app.add_option("--threads", request.threads, "Threads to work on (one a processor)")
      ->check(CLI::PositiveNumber)
      ->type_name("N");
  app.add_flag("--json", json, "Print the report as JSON");
  add_log_options(app, log);
  if (const auto code = parse(app, argc, argv)) return *code;
  // Found out now rather than after minutes of work.
  std::error_code ignored;
  if (std::filesystem::exists(html, ignored) && !std::filesystem::is_regular_file(html, ignored))
    throw Error(ErrorKind::usage, fmt::format("--report {}: is not a file", html.string()));
  if (html.has_parent_path() && !std::filesystem::is_directory(html.parent_path(), ignored))
    throw Error(ErrorKind::usage,
                fmt::format("--report {}: there is no folder {}", html.string(), html.parent_path().string()));

  Console console("verify", log);
  const VerifyReport report = verify_package(request, console.observer());
  if (json)
    fmt::print("{}", verify_report_json(report));
  else
    print(report);
  if (!html.empty()) replace_text_file(html, verify_report_html(report));
  const int code = report.ok() ? 0 : static_cast<int>(ErrorKind::verification);
  console.done(code);
  return code;
}

}  // namespace q3vl
