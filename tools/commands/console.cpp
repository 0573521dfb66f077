#include "commands/console.h"

#include <fmt/format.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "pipeline/process.h"

namespace q3vl {
namespace {

constexpr int kBarWidth = 30;
constexpr std::chrono::milliseconds kRedraw(100);  // of the bar
constexpr std::chrono::seconds kNextLine(5);       // of a log
constexpr std::chrono::seconds kNextEvent(1);      // of a log in JSON

constexpr std::array kKinds = {
    std::pair{ErrorKind::internal, "internal"},      std::pair{ErrorKind::usage, "usage"},
    std::pair{ErrorKind::bad_input, "bad_input"},    std::pair{ErrorKind::unsupported, "unsupported"},
    std::pair{ErrorKind::output, "output"},          std::pair{ErrorKind::verification, "verification"},
    std::pair{ErrorKind::interrupted, "interrupted"}};

std::string human_seconds(double seconds) {
  const auto whole = std::llround(seconds);
  return whole < 60 ? fmt::format("{} s", whole) : fmt::format("{}:{:02} min", whole / 60, whole % 60);
}

/// Not fmt::print(), which throws when nobody reads.
void write_error_stream(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
}

/// On one line, and without what a terminal would obey: names of files and tensors may be somebody else's.
std::string printable(std::string_view text) {
  std::string safe;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f)
      safe += fmt::format("\\x{:02x}", byte);
    else
      safe += c;
  }
  return safe;
}

void write_event(const nlohmann::ordered_json& event) {
  // Paths may be in any encoding.
  write_error_stream(event.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

bool is_terminal() {
  const char* const kind = std::getenv("TERM");  // NOLINT(concurrency-mt-unsafe): nothing here sets variables
  return ::isatty(STDERR_FILENO) != 0 && kind != nullptr && std::string_view(kind) != "dumb";
}

/// https://no-color.org
bool wants_color() {
  const char* const no = std::getenv("NO_COLOR");  // NOLINT(concurrency-mt-unsafe)
  return no == nullptr || *no == '\0';
}

}  // namespace

std::string human_bytes(std::uint64_t bytes) {
  constexpr std::array kUnits = {"B", "kB", "MB", "GB", "TB"};
  auto size = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (size >= 999.5 && unit + 1 < kUnits.size()) {
    size /= 1000;
    ++unit;
  }
  return fmt::format("{:.{}f} {}", size, unit == 0 || size >= 99.95 ? 0 : 1, kUnits[unit]);
}

Console::Console(const std::string& command, const LogOptions& options)
    : options_(options), terminal_(is_terminal() && options.format == LogFormat::text) {
  const auto color = terminal_ && wants_color() ? spdlog::color_mode::always : spdlog::color_mode::never;
  text_ = std::make_unique<spdlog::logger>("", std::make_shared<spdlog::sinks::stderr_color_sink_st>(color));
  text_->set_pattern("%^%l:%$ %v");
  text_->set_level(options.verbose ? spdlog::level::debug : spdlog::level::info);
  text_->set_error_handler([](const std::string&) {});  // there is nobody left to tell
  if (options_.format == LogFormat::json && !options_.quiet)
    write_event({{"event", "start"}, {"command", command}, {"version", versions().front().second}});
}

Console::~Console() {
  clear_bar();
}

ExportObserver Console::observer() {
  return {.info = [this](const std::string& text) { message("info", text); },
          .warning = [this](const std::string& text) { message("warning", text); },
          .detail = [this](const std::string& text) { message("detail", text); },
          .progress = [this](const ExportProgress& p) { progress(p); }};
}

void Console::message(std::string_view event, const std::string& text) {
  if (options_.quiet) return;
  if (options_.format == LogFormat::json) {
    if (event != "detail" || options_.verbose) write_event({{"event", event}, {"message", text}});
    return;
  }
  clear_bar();
  const auto level = event == "info"      ? spdlog::level::info
                     : event == "warning" ? spdlog::level::warn
                                          : spdlog::level::debug;
  text_->log(level, printable(text));
}

void Console::clear_bar() {
  if (bar_shown_) write_error_stream("\r\033[K");
  bar_shown_ = false;
}

void Console::progress(const ExportProgress& p) {
  if (options_.quiet || p.total == 0) return;
  const Clock::time_point now = Clock::now();
  if (p.done < done_ || start_ == Clock::time_point{}) start_ = last_ = now;  // another piece of work begins
  done_ = p.done;
  const bool finished = p.done == p.total;
  if (options_.format == LogFormat::json) {
    if (!finished && now - last_ < kNextEvent) return;
    last_ = now;
    write_event({{"event", "progress"},
                 {"activity", p.activity},
                 {"done", p.done},
                 {"total", p.total},
                 {"unit", p.unit.empty() ? "bytes" : p.unit}});
    return;
  }
  const auto amount = [&](std::uint64_t count) {
    return p.unit.empty() ? human_bytes(count) : fmt::format("{}", count);
  };
  const std::string text =
      fmt::format("{} {} of {}{}{}", p.activity, amount(p.done), amount(p.total), p.unit.empty() ? "" : " ", p.unit);
  const double share = static_cast<double>(p.done) / static_cast<double>(p.total);
  if (!terminal_) {
    if (now - last_ < kNextLine) return;
    last_ = now;
    text_->info("{} ({:.0f} %)", text, share * 100);
    return;
  }
  if (!finished && bar_shown_ && now - last_ < kRedraw) return;
  last_ = now;
  const double elapsed = std::chrono::duration<double>(now - start_).count();
  const int filled = static_cast<int>(share * kBarWidth);
  write_error_stream(fmt::format("\r\033[K[{:=<{}}{: <{}}] {}, {} left", "", filled, "", kBarWidth - filled, text,
                                 human_seconds(share > 0 ? elapsed / share - elapsed : 0)));
  bar_shown_ = true;
  if (finished) clear_bar();
}

void Console::report(const ExportReport& report, const std::filesystem::path& folder) {
  if (options_.quiet) return;
  try {
    print(report, folder.string());
  } catch (const std::bad_alloc&) {  // what was asked for is done all the same
    write_error_stream(options_.format == LogFormat::json
                           ? R"({"event":"warning","message":"the output is complete; there is no memory to list it"})"
                           : "warning: the output is complete; there is no memory to list it");
    write_error_stream("\n");
  }
}

void Console::print(const ExportReport& report, const std::string& folder) {
  std::size_t width = 5;
  std::uint64_t total = 0;
  for (const ExportedFile& file : report.files) {
    width = std::max(width, file.name.size());
    total += file.bytes;
  }
  if (options_.format == LogFormat::json) {
    for (const ExportedFile& file : report.files)
      write_event({{"event", "file"}, {"name", file.name}, {"bytes", file.bytes}, {"contents", file.contents}});
    write_event({{"event", "done"},
                 {"exit_code", 0},
                 {"seconds", report.seconds},
                 {"peak_memory_bytes", report.peak_memory_bytes},
                 {"output", folder},
                 {"files", report.files.size()},
                 {"bytes", total}});
    return;
  }
  clear_bar();
  for (const ExportedFile& file : report.files)
    write_error_stream(
        fmt::format("{:<{}}  {:>8}  {}\n", file.name, width, human_bytes(file.bytes), printable(file.contents)));
  write_error_stream(fmt::format("{:<{}}  {:>8}  in {}; {:.1f} s, peak memory {}\n", "total", width, human_bytes(total),
                                 printable(folder), report.seconds, human_bytes(report.peak_memory_bytes)));
}

void Console::done(int exit_code) {
  if (options_.quiet || options_.format == LogFormat::text) return;
  write_event({{"event", "done"},
               {"exit_code", exit_code},
               {"seconds", std::chrono::duration<double>(Clock::now() - begin_).count()},
               {"peak_memory_bytes", peak_memory()}});
}

int print_error(const std::string& message, ErrorKind kind, LogFormat format) {
  constexpr std::size_t kMost = 16'384;  // names out of a file from anywhere must not flood a log
  const int code = static_cast<int>(kind);
  const auto* const name = std::ranges::find(kKinds, kind, &std::pair<ErrorKind, const char*>::first);
  if (format == LogFormat::json)
    write_event({{"event", "error"}, {"kind", name->second}, {"exit_code", code}, {"message", message}});
  else
    write_error_stream(fmt::format("qwen3vl-export: {}{}\n", printable(std::string_view(message).substr(0, kMost)),
                                   message.size() > kMost ? "..." : ""));
  return code;
}

int print_out_of_memory(LogFormat format) {
  write_error_stream(format == LogFormat::json
                         ? R"({"event":"error","kind":"internal","exit_code":1,"message":"not enough memory"})"
                         : "qwen3vl-export: not enough memory");
  write_error_stream("\n");
  return static_cast<int>(ErrorKind::internal);
}

}  // namespace q3vl
