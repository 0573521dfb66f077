// What a person or a log sees while a command runs.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "qwen3vl_export/export.h"

namespace q3vl {

enum class Verbosity { quiet, normal, verbose };

/// "3.4 GB", in powers of ten, as disks are sold and the hub counts.
std::string human_bytes(std::uint64_t bytes);

/// Writes to standard error: messages, and the progress of a run, as a bar with bytes and time left on a terminal and
/// as plain lines in a log.
class Console {
 public:
  explicit Console(Verbosity verbosity);

  ExportObserver observer();

  /// The table of a finished run: file, size, what is in it; then totals, time and memory. To standard output.
  void print_report(const ExportReport& report, const std::string& folder) const;

 private:
  using Clock = std::chrono::steady_clock;
  void progress(const ExportProgress& progress);
  void clear_bar();

  Verbosity verbosity_;
  bool terminal_;
  bool bar_shown_ = false;
  std::uint64_t done_ = 0;     // of the last progress
  Clock::time_point start_{};  // of the work that it belongs to
  Clock::time_point last_{};   // when the bar or a line was last written
};

}  // namespace q3vl
