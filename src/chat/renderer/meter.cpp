#include "chat/renderer/meter.h"

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <string>

namespace q3vl::meter {
namespace {

constexpr std::size_t kBytesAStep = 16;

Answer current_stage = Answer::failed;
std::uint64_t steps_left = UINT64_MAX;
std::size_t memory_left = SIZE_MAX / 2;
const char* lowest_stack = nullptr;

void write_all(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(STDOUT_FILENO, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) ::_exit(1);  // nobody reads
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

/// `reason` is made when nothing is counted any more.
template <typename Reason>
[[noreturn]] void end(Reason reason) {
  stop();
  write(current_stage, reason());
  ::_exit(0);
}

[[noreturn]] void end_for_steps() {
  end([] {
    return "it takes more than " + std::to_string(kMaxRenderSteps) + " steps; a loop or a macro in it may have no end";
  });
}

[[noreturn]] void end_for_memory() {
  end([] { return "it takes more than " + std::to_string(kMaxRenderMemory >> 20) + " MB of memory"; });
}

[[noreturn]] void end_for_stack() {
  end([] {
    return "it is nested too deeply, for more than " + std::to_string(kMaxRenderStack >> 20) +
           " MB of stack; a macro may call itself, or a list hold itself";
  });
}

void take_bytes(std::size_t bytes) {
  const std::uint64_t steps = bytes / kBytesAStep;
  if (steps >= steps_left) end_for_steps();
  steps_left -= steps;
}

void* allocate(std::size_t size) {
  if (size > memory_left) end_for_memory();
  take_bytes(size);
  void* memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) end_for_memory();
  const std::size_t taken = ::malloc_usable_size(memory);
  memory_left -= std::min(memory_left, taken);
  return memory;
}

void release(void* memory) noexcept {
  if (memory == nullptr) return;
  memory_left += ::malloc_usable_size(memory);
  std::free(memory);
}

}  // namespace

void start(Answer stage) {
  current_stage = stage;
  steps_left = kMaxRenderSteps;
  memory_left = kMaxRenderMemory;
  lowest_stack = static_cast<const char*>(__builtin_frame_address(0)) - kMaxRenderStack;
}

void stop() {
  steps_left = UINT64_MAX;
  memory_left = SIZE_MAX / 2;
  lowest_stack = nullptr;
}

void write(Answer answer, std::string_view text) {
  std::string head(1, static_cast<char>(answer));
  for (unsigned shift = 0; shift < 64; shift += 8)
    head += static_cast<char>(static_cast<std::uint64_t>(text.size()) >> shift);
  write_all(head);
  write_all(text);
}

}  // namespace q3vl::meter

void* operator new(std::size_t size) {
  return q3vl::meter::allocate(size);
}
void operator delete(void* memory) noexcept {
  q3vl::meter::release(memory);
}
void operator delete(void* memory, std::size_t /*size*/) noexcept {
  q3vl::meter::release(memory);
}

extern "C" {

/// What is compiled with -fsanitize-coverage=trace-pc calls this at each basic block.
void __sanitizer_cov_trace_pc() {
  using namespace q3vl::meter;
  if (--steps_left == 0) end_for_steps();
  if (static_cast<const char*>(__builtin_frame_address(0)) < lowest_stack) end_for_stack();
}

// With --wrap the linker leads calls of memcpy() to __wrap_memcpy(), and has the C library's as __real_memcpy().
void* __real_memcpy(void* to, const void* from, std::size_t size);
void* __real_memmove(void* to, const void* from, std::size_t size);
void* __real_memset(void* to, int value, std::size_t size);
int __real_memcmp(const void* a, const void* b, std::size_t size);
const void* __real_memchr(const void* in, int value, std::size_t size);

void* __wrap_memcpy(void* to, const void* from, std::size_t size) {
  q3vl::meter::take_bytes(size);
  return __real_memcpy(to, from, size);
}
void* __wrap_memmove(void* to, const void* from, std::size_t size) {
  q3vl::meter::take_bytes(size);
  return __real_memmove(to, from, size);
}
void* __wrap_memset(void* to, int value, std::size_t size) {
  q3vl::meter::take_bytes(size);
  return __real_memset(to, value, size);
}
int __wrap_memcmp(const void* a, const void* b, std::size_t size) {
  q3vl::meter::take_bytes(size);
  return __real_memcmp(a, b, size);
}
const void* __wrap_memchr(const void* in, int value, std::size_t size) {
  q3vl::meter::take_bytes(size);
  return __real_memchr(in, value, size);
}

}  // extern "C"
