#include "commands/console.h"

#include <fmt/format.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace q3vl {
namespace {

constexpr int kBarWidth = 30;
constexpr std::chrono::milliseconds kRedraw(100);  // of the bar
constexpr std::chrono::seconds kNextLine(5);       // of a log

std::string human_seconds(double seconds) {
  const auto whole = std::llround(seconds);
  return whole < 60 ? fmt::format("{} s", whole) : fmt::format("{}:{:02} min", whole / 60, whole % 60);
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

Console::Console(Verbosity verbosity, std::string done)
    : verbosity_(verbosity), done_(std::move(done)), terminal_(::isatty(STDERR_FILENO) != 0) {
  const auto logger = spdlog::stderr_color_st("qwen3vl-export");
  logger->set_pattern("%^%l:%$ %v");
  logger->set_level(verbosity == Verbosity::verbose ? spdlog::level::debug
                    : verbosity == Verbosity::quiet ? spdlog::level::err
                                                    : spdlog::level::info);
  spdlog::set_default_logger(logger);
}

ExportObserver Console::observer() {
  const auto log = [this](spdlog::level::level_enum level) {
    return [this, level](const std::string& text) {
      clear_bar();
      spdlog::log(level, text);
    };
  };
  return {.info = log(spdlog::level::info),
          .warning = log(spdlog::level::warn),
          .detail = log(spdlog::level::debug),
          .progress = [this](ExportProgress p) { progress(p); }};
}

void Console::clear_bar() {
  if (bar_shown_) fmt::print(stderr, "\r\033[K");
  bar_shown_ = false;
}

void Console::progress(ExportProgress p) {
  if (verbosity_ == Verbosity::quiet || p.total == 0) return;
  const Clock::time_point now = Clock::now();
  if (start_ == Clock::time_point{}) start_ = now;
  const double share = static_cast<double>(p.done) / static_cast<double>(p.total);
  if (!terminal_) {
    if (now - std::max(start_, last_) < kNextLine) return;
    last_ = now;
    spdlog::info("{} {} of {} ({:.0f} %)", done_, human_bytes(p.done), human_bytes(p.total), share * 100);
    return;
  }
  const bool finished = p.done == p.total;
  if (!finished && now - last_ < kRedraw) return;
  last_ = now;
  const double elapsed = std::chrono::duration<double>(now - start_).count();
  const int filled = static_cast<int>(share * kBarWidth);
  fmt::print(stderr, "\r\033[K[{:=<{}}{: <{}}] {} of {}, {} left", "", filled, "", kBarWidth - filled,
             human_bytes(p.done), human_bytes(p.total), human_seconds(share > 0 ? elapsed / share - elapsed : 0));
  std::fflush(stderr);
  bar_shown_ = true;
  if (finished) clear_bar();
}

void Console::print_report(const ExportReport& report, const std::string& folder) const {
  if (verbosity_ == Verbosity::quiet) return;
  std::size_t width = 5;
  std::uint64_t total = 0;
  for (const ExportedFile& file : report.files) {
    width = std::max(width, file.name.size());
    total += file.bytes;
  }
  for (const ExportedFile& file : report.files)
    fmt::print("{:<{}}  {:>8}  {}\n", file.name, width, human_bytes(file.bytes), file.contents);
  fmt::print("{:<{}}  {:>8}  in {}; {:.1f} s, peak memory {}\n", "total", width, human_bytes(total), folder,
             report.seconds, human_bytes(report.peak_memory_bytes));
}

}  // namespace q3vl
