#include "commands/program.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <new>
#include <string_view>
#include <system_error>

#include "base/file.h"
#include "commands/command.h"

namespace q3vl {
namespace {

struct Command {
  std::string_view name;
  CommandMain main;
};

// Without one of these words the command is to export; a checkpoint folder of such a name is written "./plan".
constexpr std::array kCommands = {Command{"bench", bench_command},     Command{"check", check_command},
                                  Command{"extract", extract_command}, Command{"inspect", inspect_command},
                                  Command{"plan", plan_command},       Command{"run", run_command},
                                  Command{"verify", verify_command}};

int dispatch(int argc, char** argv) {
  for (const Command& command : kCommands)
    if (argc > 1 && command.name == argv[1]) return command.main(argc - 1, argv + 1);
  return export_command(argc, argv);
}

/// As the command line will say once it is parsed: an error in it is to be told in the right form, too.
LogFormat format_asked_for(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    if (argument == "--log-format=json") return LogFormat::json;
    if (argument == "--log-format" && i + 1 < argc && std::string_view(argv[i + 1]) == "json") return LogFormat::json;
  }
  return LogFormat::text;
}

extern "C" void on_signal(int) {
  request_interrupt();
}

void handle_signals() {
  // A limit on file sizes and a reader that has gone are errors of write().
  std::signal(SIGXFSZ, SIG_IGN);
  std::signal(SIGPIPE, SIG_IGN);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction action {};
    ::sigaction(signal, nullptr, &action);
    if (action.sa_handler == SIG_IGN) continue;  // as nohup wants it
    action.sa_handler = on_signal;
    action.sa_flags = SA_RESTART | static_cast<int>(SA_RESETHAND);  // the second one ends the process at once
    ::sigaction(signal, &action, nullptr);
  }
}

LogFormat format_of_last_words = LogFormat::text;

std::atomic<bool> memory_ran_out = false;

void on_no_memory() {
  memory_ran_out = true;
  throw std::bad_alloc();
}

/// An exception that nothing can catch, such as one for want of memory in a destructor: nlohmann_json's ask for some.
/// As after a kill nothing is cleaned up here, but by the next run.
[[noreturn]] void on_terminate() {
  try {
    if (std::current_exception()) std::rethrow_exception(std::current_exception());
    // g++ calls this without the exception where it has inlined a destructor.
    if (memory_ran_out) print_out_of_memory(format_of_last_words);
  } catch (const std::bad_alloc&) {
    print_out_of_memory(format_of_last_words);
  } catch (...) {
    print_error("internal error: an exception where none can be handled", ErrorKind::internal, format_of_last_words);
  }
  ::_exit(static_cast<int>(ErrorKind::internal));
}

/// Where a standard stream is closed, the next file to be opened would take its place, and messages would go into it.
void fill_standard_streams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (::fcntl(stream, F_GETFD) < 0) {
      // Opened the wrong way round: it is an error to use them. open() takes the lowest number that is free.
      static_cast<void>(::open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY));
    }
}

/// OpenBLAS, which comes with LibTorch, starts a thread for each processor, and sends the process SIGINT where it
/// cannot. This program shares the work of computing among threads of its own.
void keep_blas_to_one_thread() {
  ::setenv("OPENBLAS_NUM_THREADS", "1", 1);  // NOLINT(concurrency-mt-unsafe): there is one thread yet
}

/// What was asked for must have arrived.
int close_output(int code, LogFormat format) {
  if (std::ferror(stdout) != 0) return print_error("standard output: cannot be written", ErrorKind::output, format);
  if (std::fflush(stdout) == 0) return code;
  return print_error(fmt::format("standard output: cannot be written: {}", std::generic_category().message(errno)),
                     ErrorKind::output, format);
}

int report_error(LogFormat format) {
  try {
    throw;
  } catch (const Error& error) {
    return print_error(error.what(), error.kind(), format);
  } catch (const std::bad_alloc&) {
    return print_out_of_memory(format);
  } catch (const std::filesystem::filesystem_error& error) {
    // Of the output all is checked where it happens: this is the checkpoint, or another file that is read.
    const int code = error.code().value();
    return print_error(
        fmt::format("{}: cannot be examined: {}", error.path1().string(), os_reason(error.path1(), code)),
        is_shortage(code) ? ErrorKind::internal : ErrorKind::bad_input, format);
  } catch (const std::exception& error) {
    if (std::ferror(stdout) != 0) return close_output(0, format);
    return print_error(fmt::format("internal error: {}", error.what()), ErrorKind::internal, format);
  }
}

}  // namespace

int run_program(int argc, char** argv) {
  fill_standard_streams();
  handle_signals();
  keep_blas_to_one_thread();
  const LogFormat format = format_asked_for(argc, argv);
  format_of_last_words = format;
  std::set_terminate(on_terminate);
  std::set_new_handler(on_no_memory);
  try {
    try {
      return close_output(dispatch(argc, argv), format);
    } catch (...) {
      return report_error(format);
    }
  } catch (const std::bad_alloc&) {  // of the message
    return print_out_of_memory(format);
  }
}

std::vector<std::string> command_names() {
  std::vector<std::string> names;
  for (const Command& command : kCommands) names.emplace_back(command.name);
  return names;
}

}  // namespace q3vl
