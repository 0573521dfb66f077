#include "commands/bench_process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <system_error>

#include "base/parallel.h"

namespace q3vl {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kLookForSignals = 200;  // every so many milliseconds, should one come between the look and the wait

void check(bool done, const char* action) {
  if (!done)
    throw Error(ErrorKind::internal, fmt::format("cannot {}: {}", action, std::generic_category().message(errno)));
}

Json to_json(const BenchRound& round) {
  Json json = {{"processor", round.processor},       {"processors", round.processors},
               {"onnxruntime", round.onnxruntime},   {"cache", round.cache},
               {"weight_bytes", round.weight_bytes}, {"cache_bytes_per_token", round.cache_bytes_per_token},
               {"bandwidth", round.bandwidth},       {"measurements", Json::array()}};
  for (const BenchMeasurement& measurement : round.measurements) json["measurements"].push_back(to_json(measurement));
  return json;
}

BenchMeasurement measurement_of(const Json& json) {
  BenchMeasurement measurement{.phase = json.at("phase"),
                               .graph = json.value("graph", ""),
                               .patches = json.value("patches", std::int64_t{0}),
                               .prompt = json.value("prompt", std::int64_t{0}),
                               .tokens = json.value("tokens", std::int64_t{0}),
                               .numbers = {}};
  for (const auto& item : json.at("numbers").items()) measurement.numbers.push_back({item.key(), item.value()});
  return measurement;
}

BenchRound round_of(const Json& json) {
  BenchRound round{.processor = json.at("processor"),
                   .processors = json.at("processors"),
                   .onnxruntime = json.at("onnxruntime"),
                   .cache = json.at("cache"),
                   .weight_bytes = json.at("weight_bytes"),
                   .cache_bytes_per_token = json.at("cache_bytes_per_token"),
                   .bandwidth = json.at("bandwidth"),
                   .measurements = {}};
  for (const Json& item : json.at("measurements")) round.measurements.push_back(measurement_of(item));
  return round;
}

/// The round as text, or the error that was in its way.
std::string round_text(const BenchRequest& request) {
  const auto failed = [](ErrorKind kind, const std::string& message) {
    return Json({{"error", static_cast<int>(kind)}, {"message", message}})
        .dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);  // as paths may be in any encoding
  };
  try {
    return to_json(bench_round(request)).dump(-1, ' ', false, Json::error_handler_t::replace);
  } catch (const Error& error) {
    return failed(error.kind(), error.what());
  } catch (const std::bad_alloc&) {
    return failed(ErrorKind::internal, "not enough memory");
  } catch (const std::exception& error) {
    return failed(ErrorKind::internal, fmt::format("internal error: {}", error.what()));
  }
}

/// The child's part. Nothing of the parent is cleaned up here: it is the parent's.
[[noreturn]] void answer(const BenchRequest& request, int pipe) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) std::signal(signal, SIG_DFL);
  const std::string text = round_text(request);
  std::size_t written = 0;
  while (written < text.size()) {
    const ssize_t count = ::write(pipe, text.data() + written, text.size() - written);
    if (count < 0 && errno != EINTR) ::_exit(1);
    if (count > 0) written += static_cast<std::size_t>(count);
  }
  ::_exit(0);
}

/// A process that runs one round. One that is not waited for to its end is ended.
class Child {
 public:
  explicit Child(const BenchRequest& request) {
    std::array<int, 2> ends{};
    check(::pipe2(ends.data(), O_CLOEXEC) == 0, "make a pipe");
    id_ = ::fork();
    if (id_ == 0) answer(request, ends[1]);
    ::close(ends[1]);
    pipe_ = ends[0];
    if (id_ < 0) ::close(pipe_);
    check(id_ > 0, "start a process");
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    ::close(pipe_);
    if (ended_) return;
    ::kill(id_, SIGKILL);
    wait();
  }

  /// All that it writes.
  std::string read_all() const {
    std::string text;
    std::array<char, 4096> buffer{};
    for (;;) {
      throw_if_interrupted();
      pollfd ready{.fd = pipe_, .events = POLLIN, .revents = 0};
      const int found = ::poll(&ready, 1, kLookForSignals);
      check(found >= 0 || errno == EINTR, "wait for a process");
      if (found <= 0) continue;
      const ssize_t count = ::read(pipe_, buffer.data(), buffer.size());
      check(count >= 0, "read from a process");
      if (count == 0) return text;
      text.append(buffer.data(), static_cast<std::size_t>(count));
    }
  }

  /// Its status, as waitpid() gives it.
  int wait() {
    int status = 0;
    while (::waitpid(id_, &status, 0) < 0 && errno == EINTR) continue;
    ended_ = true;
    return status;
  }

 private:
  pid_t id_ = -1;
  int pipe_ = -1;
  bool ended_ = false;
};

}  // namespace

Json to_json(const BenchMeasurement& measurement) {
  Json json = {{"phase", measurement.phase}};
  if (!measurement.graph.empty()) json["graph"] = measurement.graph;
  if (measurement.patches > 0) json["patches"] = measurement.patches;
  if (measurement.prompt > 0) json["prompt"] = measurement.prompt;
  if (measurement.tokens > 0) json["tokens"] = measurement.tokens;
  for (const BenchNumber& number : measurement.numbers) json["numbers"][number.name] = number.value;
  return json;
}

BenchRound bench_round_apart(const BenchRequest& request) {
  Child child(request);
  const std::string text = child.read_all();
  const int status = child.wait();
  throw_if_interrupted();  // of which Ctrl-C may have told the child first
  if (WIFSIGNALED(status))
    throw Error(ErrorKind::internal,
                fmt::format("{}: the process that measured it was ended by signal {}{}", request.package.string(),
                            WTERMSIG(status), WTERMSIG(status) == SIGKILL ? ", for want of memory perhaps" : ""));
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded())
    throw Error(ErrorKind::internal,
                fmt::format("{}: the process that measured it gave no answer", request.package.string()));
  if (json.contains("error"))
    throw Error(static_cast<ErrorKind>(json.at("error").get<int>()), json.at("message").get<std::string>());
  return round_of(json);
}

}  // namespace q3vl
