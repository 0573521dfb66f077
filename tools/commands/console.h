// What a person or a log sees while a command runs.
#pragma once

#include <spdlog/logger.h>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "qwen3vl_export/export.h"

namespace q3vl {

enum class LogFormat { text, json };

/// What `-v`, `-q` and `--log-format` say.
struct LogOptions {
  bool verbose = false;
  bool quiet = false;
  LogFormat format = LogFormat::text;
};

/// "3.4 GB", in powers of ten, as disks are sold and the hub counts.
std::string human_bytes(std::uint64_t bytes);

/// Writes to standard error: messages, the progress of a run, and what it wrote. As text, progress is a bar with bytes
/// and time left on a terminal and plain lines elsewhere; as JSON each event is an object on a line of its own
/// (docs/log.schema.json). That nobody reads it is no error.
class Console {
 public:
  Console(const std::string& command, const LogOptions& options);
  ~Console();
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  ExportObserver observer();

  /// A finished run that wrote files: the table of them (file, size, what is in it), totals, time and memory.
  void report(const ExportReport& report, const std::filesystem::path& folder);

  /// A finished run that wrote nothing that it would have to tell of.
  void done(int exit_code);

 private:
  using Clock = std::chrono::steady_clock;
  using Json = nlohmann::ordered_json;
  void message(std::string_view event, const std::string& text);
  void progress(const ExportProgress& progress);
  void print(const ExportReport& report, const std::string& folder);
  void progress_line(const ExportProgress& progress, const std::string& text);
  void clear_bar();

  LogOptions options_;
  bool terminal_;
  std::unique_ptr<spdlog::logger> text_;  // of messages
  Clock::time_point begin_ = Clock::now();
  bool bar_shown_ = false;
  std::uint64_t done_ = 0;     // of the last progress
  Clock::time_point start_{};  // of the work that it belongs to
  Clock::time_point last_{};   // when the bar or a line was last written
};

/// A failed run's last words, whatever -q says. Returns the exit code.
int print_error(const std::string& message, ErrorKind kind, LogFormat format);

/// The same when there is no memory to make a message with.
int print_out_of_memory(LogFormat format);

}  // namespace q3vl
