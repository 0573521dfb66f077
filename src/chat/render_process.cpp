#include "chat/render_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <system_error>
#include <utility>

#include "base/companion_file.h"
#include "base/parallel.h"

namespace q3vl {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kRenderer = "qwen3vl-export-chat";
constexpr int kLookForSignals = 50;        // milliseconds
constexpr std::size_t kHeadBytes = 1 + 8;  // before the text of an answer

void check_renderer(bool holds, const char* what, int error = errno) {
  if (!holds)
    throw Error(ErrorKind::internal,
                fmt::format("{}: cannot {}: {}", kRenderer, what, std::generic_category().message(error)));
}

std::string renderer_path() {
  const std::filesystem::path path = companion_file(kRenderer);
  if (path.empty())
    throw Error(ErrorKind::internal,
                fmt::format("{}: cannot be started: it is neither beside {} nor in the folder qwen3vl-export there",
                            kRenderer, this_file().string()));
  return path.string();
}

/// A process that renders. Its standard input and output are one socket; its signals are its own, so that Ctrl-C comes
/// to this process alone.
class Renderer {
 public:
  Renderer() {
    const std::string path = renderer_path();
    std::array<int, 2> ends{};
    check_renderer(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0, "make a socket");
    socket_ = ends[0];
    const int error = spawn(path, ends[1]);
    ::close(ends[1]);
    if (error != 0) ::close(socket_);
    check_renderer(error == 0, "be started", error);
  }
  Renderer(const Renderer&) = delete;
  Renderer& operator=(const Renderer&) = delete;
  ~Renderer() {
    ::close(socket_);
    if (id_ > 0) end();
  }

  /// Sends all of `request` and returns what comes back: all of it, unless that takes too long or has more than `most`
  /// bytes.
  std::string exchange(std::string_view request, std::size_t most) {
    const auto deadline = Clock::now() + std::chrono::seconds(kMaxRenderWallSeconds);
    std::string answer;
    std::array<char, 1 << 16> part{};
    for (;;) {
      throw_if_interrupted();
      if (Clock::now() > deadline || answer.size() > most) return answer;
      const short wanted = request.empty() ? POLLIN : POLLIN | POLLOUT;
      pollfd ready{.fd = socket_, .events = wanted, .revents = 0};
      const int found = ::poll(&ready, 1, kLookForSignals);
      check_renderer(found >= 0 || errno == EINTR, "be waited for");
      if (found <= 0) continue;
      if ((ready.revents & POLLOUT) != 0 && !request.empty()) {
        const ssize_t sent = ::send(socket_, request.data(), request.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        // One that is gone says by its status why.
        if (sent < 0 && errno != EAGAIN && errno != EINTR) return answer;
        if (sent > 0) request.remove_prefix(static_cast<std::size_t>(sent));
        if (request.empty()) ::shutdown(socket_, SHUT_WR);
      }
      if ((ready.revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
        const ssize_t count = ::recv(socket_, part.data(), part.size(), MSG_DONTWAIT);
        if (count < 0 && (errno == EAGAIN || errno == EINTR)) continue;
        if (count <= 0) return answer;
        answer.append(part.data(), static_cast<std::size_t>(count));
      }
    }
  }

  /// Ends the process, if it has not ended by itself, and says how it did, as waitpid() does.
  int end() {
    ::kill(id_, SIGKILL);  // nothing happens to one that has ended
    int status = 0;
    while (::waitpid(id_, &status, 0) < 0 && errno == EINTR) continue;
    id_ = -1;
    return status;
  }

 private:
  int spawn(const std::string& path, int socket) {
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    ::posix_spawn_file_actions_init(&files);
    ::posix_spawnattr_init(&attributes);
    ::posix_spawn_file_actions_adddup2(&files, socket, STDIN_FILENO);
    ::posix_spawn_file_actions_adddup2(&files, socket, STDOUT_FILENO);
    ::posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    ::posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1);
    sigset_t none;
    sigset_t all;
    ::sigemptyset(&none);
    ::sigfillset(&all);
    ::posix_spawnattr_setsigmask(&attributes, &none);
    ::posix_spawnattr_setsigdefault(&attributes, &all);
    ::posix_spawnattr_setpgroup(&attributes, 0);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    std::array<char*, 2> arguments = {const_cast<char*>(path.c_str()), nullptr};
    const int error = ::posix_spawn(&id_, path.c_str(), &files, &attributes, arguments.data(), environ);
    ::posix_spawnattr_destroy(&attributes);
    ::posix_spawn_file_actions_destroy(&files);
    if (error != 0) id_ = -1;
    return error;
  }

  pid_t id_ = -1;
  int socket_ = -1;
};

/// The answers that are whole, of at most `most`.
std::vector<RenderAnswer> answers_in(std::string_view bytes, std::size_t most) {
  std::vector<RenderAnswer> answers;
  while (answers.size() < most && bytes.size() >= kHeadBytes) {
    const char kind = bytes[0];
    std::uint64_t length = 0;
    for (unsigned i = 0; i < 8; ++i)
      length |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[1 + i])) << (8 * i);
    bytes.remove_prefix(kHeadBytes);
    if (length > bytes.size() || std::string_view("tuf").find(kind) == std::string_view::npos) break;
    answers.push_back({static_cast<Answer>(kind), std::string(bytes.substr(0, length))});
    bytes.remove_prefix(length);
  }
  return answers;
}

/// Why a process gave no answer, by its status. Throws Error(internal) where no template can be the reason.
std::string reason_of_end(int status) {
  if (!WIFSIGNALED(status))
    throw Error(ErrorKind::internal,
                fmt::format("{}: ended with code {} and gave no answer", kRenderer, WEXITSTATUS(status)));
  switch (const int signal = WTERMSIG(status)) {
    case SIGFPE:
      return "it divides a whole number by zero, or the least one by -1";
    case SIGXCPU:
      return fmt::format("it takes more than {} seconds of processor time", kMaxRenderCpuSeconds);
    case SIGKILL:
      return fmt::format("it takes more than {} seconds, or the system ended its renderer", kMaxRenderWallSeconds);
    default:
      return fmt::format("its renderer crashed: {}", ::sigdescr_np(signal));
  }
}

}  // namespace

std::vector<RenderAnswer> render_apart(const std::string& text, const std::vector<OrderedJson>& variables) {
  std::vector<RenderAnswer> answers;
  while (answers.size() < variables.size()) {
    const std::vector<OrderedJson> left(variables.begin() + static_cast<std::ptrdiff_t>(answers.size()),
                                        variables.end());
    const std::vector<std::uint8_t> request = OrderedJson::to_cbor({{"template", text}, {"renderings", left}});
    Renderer renderer;
    const std::string bytes = renderer.exchange({reinterpret_cast<const char*>(request.data()), request.size()},
                                                left.size() * (kHeadBytes + kMaxRenderedBytes));
    std::vector<RenderAnswer> found = answers_in(bytes, left.size());
    if (!found.empty() && found.front().kind == Answer::unreadable) return {found.front()};
    const int status = renderer.end();
    // A process may end before its last answer, by a limit: the next one goes on behind it.
    if (found.empty()) found.push_back({Answer::failed, reason_of_end(status)});
    answers.insert(answers.end(), found.begin(), found.end());
  }
  return answers;
}

}  // namespace q3vl
