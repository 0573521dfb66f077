// qwen3vl-export-chat renders a chat template for the library, which starts it for this one task. A template is a
// program that comes with a checkpoint, and minja trusts it: it may be led to write where it must not. Here it has no
// files, no network and no other process to reach, and its time and memory are counted. chat/render_protocol.h says
// what comes in and goes out.
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <minja/minja.hpp>
#include <string>

#include "chat/renderer/meter.h"

namespace q3vl {
namespace {

constexpr std::size_t kSpareStack = 4U << 20;  // for what is not counted
constexpr std::size_t kMaxAddressSpace = 1U << 30;
constexpr std::size_t kMaxReasonBytes = 400;

void lower_limit(__rlimit_resource resource, rlim_t most) {
  rlimit limits{};
  ::getrlimit(resource, &limits);
  limits.rlim_cur = std::min(limits.rlim_cur, most);
  ::setrlimit(resource, &limits);
}

/// From now on any other call of the system, by any thread, kills the process. Where the kernel cannot do that, nothing
/// changes.
void keep_few_system_calls() {
#if defined(__x86_64__)
  constexpr std::uint32_t architecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
  constexpr std::uint32_t architecture = AUDIT_ARCH_AARCH64;
#else
#error "which architecture does the kernel call this?"
#endif
  // Writing, memory, the end, and what the first thread still has to do.
  constexpr std::array kKept = {SYS_write,  SYS_exit_group, SYS_brk,   SYS_mmap,          SYS_munmap,
                                SYS_mremap, SYS_madvise,    SYS_futex, SYS_rt_sigprocmask};
  constexpr auto size = static_cast<std::uint8_t>(kKept.size());
  std::array<sock_filter, kKept.size() + 5> filter = {
      sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
      sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, architecture, 0, size + 1),
      sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
  for (std::uint8_t i = 0; i < size; ++i)
    filter[3U + i] = BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(kKept[i]),
                              static_cast<std::uint8_t>(size - i), 0);
  filter[3U + size] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
  filter[4U + size] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
}

std::string read_request() {
  std::string request;
  std::array<char, 1 << 16> part;
  for (;;) {
    const ssize_t count = ::read(STDIN_FILENO, part.data(), part.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) std::exit(1);
    if (count == 0) return request;
    request.append(part.data(), static_cast<std::size_t>(count));
  }
}

/// What minja says of a fault: the reason and the innermost place, without the excerpts of the template and the places
/// around it.
std::string reason_of(const std::exception& error) {
  const std::string reason = error.what();
  std::string line = reason.substr(0, std::min(reason.find('\n'), kMaxReasonBytes));
  if (line.size() == kMaxReasonBytes) {
    while ((static_cast<unsigned char>(line.back()) & 0xc0) == 0x80) line.pop_back();  // inside a character
    line.pop_back();
    line += "…";
  }
  if (line.ends_with(':')) line.pop_back();
  return line;
}

/// What `make` makes, within the limits; writes the answer `fault` and returns nothing where that is an exception.
template <typename Make>
auto limited(Answer fault, Make&& make) -> decltype(make()) {
  meter::start(fault);
  try {
    auto made = make();
    meter::stop();
    return made;
  } catch (const std::exception& error) {
    meter::stop();
    meter::write(fault, reason_of(error));
    return {};
  }
}

void answer(const nlohmann::ordered_json& request) {
  using Root = std::shared_ptr<minja::TemplateNode>;
  const auto text = request.at("template").get<std::string>();
  const Root root = limited(Answer::unreadable, [&]() -> Root {
    // As transformers sets up Jinja.
    return minja::Parser::parse(text, {.trim_blocks = true, .lstrip_blocks = true, .keep_trailing_newline = false});
  });
  if (!root) return;
  for (const nlohmann::ordered_json& variables : request.at("renderings")) {
    const auto made = limited(Answer::failed, [&]() -> std::optional<std::string> {
      std::string rendered = root->render(minja::Context::make(minja::Value(variables)));
      if (rendered.size() <= kMaxRenderedBytes) return rendered;
      throw std::length_error("its text has more than " + std::to_string(kMaxRenderedBytes >> 20) + " MB");
    });
    if (made) meter::write(Answer::text, *made);
  }
}

void* answer_and_exit(void* request) {
  keep_few_system_calls();
  answer(*static_cast<const nlohmann::ordered_json*>(request));
  ::_exit(0);  // a template may have left lists behind that nest too deeply for their destructors
}

}  // namespace
}  // namespace q3vl

int main() {
  using namespace q3vl;
  lower_limit(RLIMIT_CORE, 0);
  lower_limit(RLIMIT_CPU, kMaxRenderCpuSeconds);
  lower_limit(RLIMIT_AS, kMaxAddressSpace);
  // Freed memory stays with the process: to fetch it again and again would take longer than what is counted.
  ::mallopt(M_MMAP_THRESHOLD, 1 << 30);
  ::mallopt(M_TRIM_THRESHOLD, 1 << 30);
  ::mallopt(M_ARENA_MAX, 1);
  nlohmann::ordered_json request = nlohmann::ordered_json::from_cbor(read_request());
  // On a stack of a known size, whatever this process was given.
  pthread_attr_t attributes;
  pthread_t thread;
  if (::pthread_attr_init(&attributes) != 0 ||
      ::pthread_attr_setstacksize(&attributes, kMaxRenderStack + kSpareStack) != 0 ||
      ::pthread_create(&thread, &attributes, answer_and_exit, &request) != 0)
    return 1;
  ::pthread_join(thread, nullptr);
}
