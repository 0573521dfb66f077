// The story of an export, on one page.
#include "qwen3vl_export/export.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <chrono>

#include "backend/weight_blocks.h"
#include "base/file.h"
#include "base/parallel.h"
#include "base/sha256.h"
#include "contract/file_names.h"
#include "data/data_writer.h"
#include "onnx/onnx_check.h"
#include "pipeline/calibration_use.h"
#include "pipeline/checkpoint_check.h"
#include "pipeline/input_statistics.h"
#include "pipeline/make_plan.h"
#include "pipeline/output_folder.h"
#include "pipeline/process.h"
#include "tokenizer/tokenizer.h"

namespace q3vl {
namespace {

/// Everything that a client would stumble over, found before the package gets its name.
void check_package(const PackagePlan& plan, const std::filesystem::path& folder) {
  for (const WrittenGraph& graph : plan.graphs) check_onnx_file(folder / graph.file);
  if (!plan.components.loadable()) return;
  for (const Client* client : plan.package_layout->clients)
    if (const auto findings = client->findings(folder); !findings.empty())
      throw Error(ErrorKind::bad_input,
                  fmt::format("the package would not load in {}: {}", client->name, fmt::join(findings, "; ")));
}

/// A tokenizer that clients may read, and run does not, is no reason against a package.
void check_tokenizer_file(const PackagePlan& plan, const std::filesystem::path& checkpoint,
                          const ExportObserver& observer) {
  if (!plan.components.loadable()) return;
  try {
    const Tokenizer tokenizer(checkpoint / "tokenizer.json");
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::unsupported) throw;
    observer.warning(fmt::format("{}; qwen3vl-export run will refuse the package, its clients may not", error.what()));
  }
}

}  // namespace

ExportReport export_package(const ExportRequest& request, const ExportObserver& observer) {
  const auto start = std::chrono::steady_clock::now();
  PackagePlan plan = make_plan(request, observer);
  check_tokenizer_file(plan, request.checkpoint, observer);
  check_tied_head(*plan.checkpoint, plan.config.text, plan.requests);
  OutputFolder folder(request.output, request.checkpoint, request.force, "package");
  ExportReport report{.files = plan.files(), .seconds = 0, .peak_memory_bytes = 0};
  std::uint64_t bytes = 0;
  for (const ExportedFile& file : report.files) bytes += file.bytes;
  folder.make_room(report.files);
  std::optional<Calibration> calibration = obtain_calibration(request, plan, observer);

  const int threads = encoding_threads(request.threads);
  observer.detail(
      fmt::format("{} weights, {} bytes to write, {} threads", plan.layout.weights().size(), bytes, threads));
  const MakeWeightBlock make_block = weight_blocks();
  DataWriter writer(plan.layout, folder.path());
  std::map<std::string, std::string> sha256 = copy_assets(request.checkpoint, plan.assets, folder.path());
  for (auto& [file, text] : plan.small_files) {
    write_text_file(folder.path() / file.name, text);
    sha256[file.name] = sha256_of(text);
    text = std::string();  // a graph of many layers is large, and its check needs memory
  }
  check_package(plan, folder.path());

  const WeightSource source{plan.checkpoint.get(), make_block, input_statistics(plan, std::move(calibration))};
  const std::uint64_t total = bytes_to_encode(plan.layout, *plan.checkpoint);
  WrittenData written = writer.write(source, threads, [&](std::uint64_t done) {
    observer.progress({done, total, "encoded", ""});
  });
  plan.checkpoint->expect_unchanged();
  if (!request.allow_nonfinite) expect_finite(written.nonfinite, *plan.checkpoint);
  if (!written.nonfinite.empty()) observer.warning(describe(written.nonfinite));
  sha256.merge(written.sha256);
  write_text_file(folder.path() / kManifestFile, plan.manifest_text(sha256));
  throw_if_interrupted();
  folder.commit();

  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  report.peak_memory_bytes = peak_memory();
  return report;
}

void request_interrupt() {
  interrupt_requested = true;
}

}  // namespace q3vl
