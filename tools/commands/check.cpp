#include "qwen3vl_export/check.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "commands/command.h"
#include "commands/console.h"

namespace q3vl {
namespace {

constexpr const char* kDescription =
    "Checks that a package, or a checkpoint that extract wrote, is whole: every file against the SHA-256 that\n"
    "manifest.json records, and the folder against what the programs that load it demand. Only the folder is read;\n"
    "verify proves it against its checkpoint.";

void print(const CheckReport& report) {
  for (const std::string& finding : report.findings) fmt::print("{}\n", finding);
  if (!report.unlisted.empty()) fmt::print("not part of it, and not looked at: {}\n", fmt::join(report.unlisted, ", "));
  if (!report.clients.empty()) fmt::print("loads in {}\n", fmt::join(report.clients, ", "));
  fmt::print("{} {}: {} files, {}, {:.1f} s\n", report.folder, report.ok() ? "is whole" : "is NOT whole", report.files,
             human_bytes(report.bytes), report.seconds);
}

}  // namespace

int check_command(int argc, char** argv) {
  CLI::App app(kDescription, "qwen3vl-export check");
  app.footer(
      fmt::format("Exit codes: 0 it is whole, {} it is not (the report says why), {} there is no manifest.json "
                  "to check it by; others as of qwen3vl-export.",
                  static_cast<int>(ErrorKind::verification), static_cast<int>(ErrorKind::bad_input)));
  std::filesystem::path folder;
  int threads = 0;
  bool json = false;
  LogOptions log;
  app.add_option("package", folder, "Folder that this program wrote")->type_name("PACKAGE")->required();
  app.add_option("--threads", threads, "Threads that read (one a processor)")
      ->check(CLI::PositiveNumber)
      ->type_name("N");
  app.add_flag("--json", json, "Print the report as JSON");
  add_log_options(app, log);
  if (const auto code = parse(app, argc, argv)) return *code;

  Console console("check", log);
  const CheckReport report = check_folder(folder, threads, console.observer());
  if (json)
    fmt::print("{}", check_report_json(report));
  else if (!log.quiet || !report.ok())
    print(report);
  const int code = report.ok() ? 0 : static_cast<int>(ErrorKind::verification);
  console.done(code);
  return code;
}

}  // namespace q3vl
