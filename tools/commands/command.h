// The commands of qwen3vl-export: each in a file of its own, with its own --help.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>

#include "commands/console.h"
#include "qwen3vl_export/export.h"

namespace q3vl {

/// A command: `argv[0]` is what comes before its arguments. Returns the exit code; errors are thrown.
using CommandMain = int (*)(int argc, char** argv);

int bench_command(int argc, char** argv);
int check_command(int argc, char** argv);
int export_command(int argc, char** argv);
int extract_command(int argc, char** argv);
int inspect_command(int argc, char** argv);
int plan_command(int argc, char** argv);
int run_command(int argc, char** argv);
int verify_command(int argc, char** argv);

/// Parses into what was added to `app`. Returns the exit code when --help or --version was all that was asked for.
/// Throws Error(usage).
std::optional<int> parse(CLI::App& app, int argc, char** argv);

/// The options that say what a package is to look like: for exporting, and for planning it.
void add_package_options(CLI::App& app, ExportRequest& request);

/// The options that say what is told on standard error: of every command.
void add_log_options(CLI::App& app, LogOptions& options);

}  // namespace q3vl
