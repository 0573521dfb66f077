#include "child_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <system_error>

#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

void check(int error, const std::string& program, std::string_view action) {
  if (error != 0)
    throw Error(ErrorKind::internal,
                fmt::format("{}: cannot {}: {}", program, action, std::generic_category().message(error)));
}

/// A pipe whose ends close by themselves.
class Pipe {
 public:
  explicit Pipe(const std::string& program) {
    check(::pipe2(ends_.data(), O_CLOEXEC) == 0 ? 0 : errno, program, "make a pipe");
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  ~Pipe() {
    ::close(ends_[0]);
    close_writer();
  }

  int writer() const { return ends_[1]; }
  void close_writer() {
    if (ends_[1] >= 0) ::close(ends_[1]);
    ends_[1] = -1;
  }

  std::string read_all(const std::string& program) const {
    std::string text;
    std::array<char, 4096> buffer{};
    for (;;) {
      const ssize_t count = ::read(ends_[0], buffer.data(), buffer.size());
      if (count < 0 && errno == EINTR) continue;
      check(count < 0 ? errno : 0, program, "read its output");
      if (count == 0) return text;
      text.append(buffer.data(), static_cast<std::size_t>(count));
    }
  }

 private:
  std::array<int, 2> ends_{-1, -1};
};

/// What posix_spawn() does between fork and exec.
class FileActions {
 public:
  FileActions() { ::posix_spawn_file_actions_init(&actions_); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;
  ~FileActions() { ::posix_spawn_file_actions_destroy(&actions_); }
  posix_spawn_file_actions_t* get() { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_{};
};

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

/// The last line that is not empty: programs of this project say there what went wrong.
std::string last_line(std::string text) {
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text.substr(text.rfind('\n') + 1);
}

}  // namespace

ChildResult run_child(const std::vector<std::string>& arguments, ChildOutput output) {
  const std::string program = std::filesystem::path(arguments[0]).filename();
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  Pipe pipe(program);
  FileActions actions;
  check(::posix_spawn_file_actions_addopen(actions.get(), STDIN_FILENO, "/dev/null", O_RDONLY, 0), program, "start");
  if (output == ChildOutput::captured)
    for (const int descriptor : {STDOUT_FILENO, STDERR_FILENO})
      check(::posix_spawn_file_actions_adddup2(actions.get(), pipe.writer(), descriptor), program, "start");

  const auto start = std::chrono::steady_clock::now();
  pid_t child = 0;
  check(::posix_spawn(&child, argv[0], actions.get(), nullptr, argv.data(), environ), program, "start");
  pipe.close_writer();
  ChildResult result{.usage = {}, .output = pipe.read_all(program)};
  int status = 0;
  rusage usage{};
  while (::wait4(child, &status, 0, &usage) < 0) check(errno == EINTR ? 0 : errno, program, "wait for its end");
  ::sync();
  const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - start;

  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
    throw Error(ErrorKind::internal,
                fmt::format("{} {} {}{}{}", program, WIFEXITED(status) ? "ended with exit code" : "was ended by signal",
                            WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status),
                            result.output.empty() ? "" : ": ", last_line(result.output)));
  // A child's largest size is never less than that of the process which spawned it: this one stays small.
  result.usage = {.wall_seconds = wall.count(),
                  .user_seconds = seconds(usage.ru_utime),
                  .system_seconds = seconds(usage.ru_stime),
                  .peak_memory_bytes = static_cast<std::uint64_t>(usage.ru_maxrss) * 1024};
  return result;
}

}  // namespace q3vl
