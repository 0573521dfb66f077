// A calibration file while it is made, and what an interrupted run leaves for the next.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "backend/tensor_backend.h"
#include "base/file.h"
#include "calibration/calibration_file.h"

namespace q3vl {

/// `<output>.partial` holds the findings so far in their final places, `<output>.state` the prompts on their way behind
/// the last finished layer. Until commit() the partial file has no header, so that nothing takes it for a calibration.
/// Destroyed before the first save() both are removed.
class CalibrationDraft {
 public:
  /// Goes on where a run of the same `sites` and `metadata` ended, or begins anew. Throws Error(output) when `output`
  /// exists or another run is writing it.
  CalibrationDraft(const std::filesystem::path& output, const std::vector<CalibrationSite>& sites,
                   const CalibrationMetadata& metadata);
  ~CalibrationDraft();
  CalibrationDraft(const CalibrationDraft&) = delete;
  CalibrationDraft& operator=(const CalibrationDraft&) = delete;

  /// Where the earlier run ended; empty when there was none.
  CalibrationState take_state() { return std::move(state_); }

  std::uint64_t bytes() const { return bytes_; }  ///< of the finished file

  void write(const SiteFindings& findings) const;

  /// Puts on the disk what was written, and then `state` in place of the last one, in one step.
  void save(const CalibrationState& state);

  /// Completes the file, gives it its name and removes the state.
  void commit();

 private:
  void begin();

  std::filesystem::path output_;
  std::filesystem::path partial_;
  std::filesystem::path state_path_;
  std::string header_;
  std::string request_;  // tells this request's state from another's
  std::map<std::string, SafetensorsEntry> entries_;
  std::uint64_t bytes_ = 0;
  std::optional<File> file_;
  CalibrationState state_;
  bool keep_ = false;
};

}  // namespace q3vl
