#include "pipeline/calibration_use.h"

#include <fmt/format.h>

#include "calibration/calibration_data.h"
#include "qwen3vl_export/calibrate.h"

namespace q3vl {
namespace {

namespace fs = std::filesystem;

/// Beside the output folder: the package holds what clients read, and this may be larger.
fs::path calibration_file(const ExportRequest& request) {
  if (!request.calibration.empty()) return request.calibration;
  const fs::path output = request.output.has_filename() ? request.output : request.output.parent_path();
  return output.string() + ".calibration";
}

}  // namespace

std::optional<Calibration> obtain_calibration(const ExportRequest& request, const PackagePlan& plan,
                                              const ExportObserver& observer) {
  if (plan.recipe.importance != ImportanceSource::calibration) return std::nullopt;
  if (request.calibration.empty() && request.calibrate.empty())
    throw Error(ErrorKind::usage, fmt::format("the recipe {} quantises with a calibration: name its file with "
                                              "--calibration FILE, or make one with --calibrate DIR",
                                              plan.recipe.name));
  const fs::path file = calibration_file(request);
  const bool wants_feedback = plan.recipe.needs_feedback();
  if (!request.calibrate.empty() && !fs::exists(file)) {
    const CalibrateReport report = calibrate({.checkpoint = request.checkpoint,
                                              .data = request.calibrate,
                                              .output = file,
                                              .feedback = wants_feedback,
                                              .threads = request.threads},
                                             observer);
    observer.info(fmt::format("{}: {} tokens, {:.1f} s", file.string(), report.tokens, report.seconds));
  } else if (!request.calibrate.empty()) {
    const std::string data =
        describe_data(read_calibration_data(request.calibrate, request.checkpoint, plan.config, kDefaultMaxPixels));
    if (const std::string found = Calibration::open(file).metadata().data; found != data)
      throw Error(ErrorKind::usage, fmt::format("{}: was made from {}, but {} has {}; remove it, or name another file "
                                                "with --calibration",
                                                file.string(), found, request.calibrate.string(), data));
  }
  Calibration calibration = Calibration::open(file);
  calibration.expect_made_from(*plan.checkpoint);
  if (wants_feedback && !calibration.has_feedback())
    throw Error(ErrorKind::usage,
                fmt::format("{}: holds no feedback factors, which gptq needs; it was made for a recipe "
                            "without gptq: make one for this recipe with --calibrate DIR",
                            file.string()));
  return calibration;
}

}  // namespace q3vl
