// The story of a calibration: data through the model, layer by layer, and the findings into a file.
#include "qwen3vl_export/calibrate.h"

#include <fmt/format.h>

#include <chrono>

#include "backend/tensor_backend.h"
#include "base/parallel.h"
#include "calibration/calibration_data.h"
#include "pipeline/calibration_draft.h"
#include "pipeline/package_plan.h"
#include "pipeline/process.h"
#include "weights/weight_rows.h"

namespace q3vl {

CalibrateReport calibrate(const CalibrateRequest& request, const ExportObserver& observer) {
  const auto start = std::chrono::steady_clock::now();
  const int threads = request.threads > 0 ? request.threads : available_processors();
  const CheckedModel model =
      check_model({.checkpoint = request.checkpoint, .allow_unused = true}, resolve_recipe("fp32", {}));
  const ModelConfig& config = model.config;
  const std::vector<Prompt> prompts =
      read_calibration_data(request.data, request.checkpoint, config, kDefaultMaxPixels);
  CalibrateReport report{.sequences = static_cast<std::int64_t>(prompts.size()),
                         .tokens = count_tokens(prompts),
                         .layers = config.text.num_hidden_layers};
  observer.info(fmt::format("{}: {} sequences, {} tokens", request.data.string(), report.sequences, report.tokens));

  CalibrationDraft draft(request.output, calibration_sites(config.text, request.feedback),
                         {.checkpoint = checkpoint_identity(config.text, *model.checkpoint),
                          .data = describe_data(prompts),
                          .tokens = report.tokens,
                          .damping = kCalibrationDamping});
  CalibrationState state = draft.take_state();
  report.layers_before = state.layers_done;
  report.bytes = draft.bytes();
  if (!state.hidden.empty())
    observer.info(
        fmt::format("goes on after {} of {} layers, which an earlier run finished", state.layers_done, report.layers));
  tensor_backend().run_calibration({.config = &config,
                                    .prompts = &prompts,
                                    .weights = checkpoint_weights(*model.checkpoint, threads),
                                    .feedback = request.feedback,
                                    .damping = kCalibrationDamping,
                                    .threads = threads,
                                    .state = &state,
                                    .found = [&](const SiteFindings& findings) { draft.write(findings); },
                                    .advanced =
                                        [&] {
                                          draft.save(state);
                                          observer.progress({static_cast<std::uint64_t>(state.layers_done),
                                                             static_cast<std::uint64_t>(report.layers), "calibrated",
                                                             "layers"});
                                        },
                                    .warning = observer.warning});
  model.checkpoint->expect_unchanged();
  throw_if_interrupted();
  draft.commit();
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  report.peak_memory_bytes = peak_memory();
  return report;
}

}  // namespace q3vl
