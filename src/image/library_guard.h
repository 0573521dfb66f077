// Calls of libpng and libjpeg: C libraries that report an error by a function that must not return.
//
//   LibraryGuard guard;  // the library's error function calls guard.leave("IDAT: CRC error")
//   if (!guard.run([&] { png_read_info(png, info); })) fail(guard.message());
#pragma once

#include <array>
#include <csetjmp>
#include <cstdio>

namespace q3vl {

class LibraryGuard {
 public:
  /// Runs `calls`; false when leave() ended them. They must own nothing: what they create is not destroyed then.
  template <typename Calls>
  bool run(Calls calls) {
    // An exception cannot take this way: C frames lie between, built by others, maybe without unwind tables.
    if (setjmp(back_) != 0) return false;  // NOLINT(cert-err52-cpp)
    calls();
    return true;
  }

  /// Ends the run() under way.
  [[noreturn]] void leave(const char* message) {
    std::snprintf(message_.data(), message_.size(), "%s", message);
    std::longjmp(back_, 1);  // NOLINT(cert-err52-cpp)
  }

  /// Why the last run() failed, in the library's words.
  const char* message() const { return message_.data(); }

 private:
  std::jmp_buf back_;
  std::array<char, 256> message_{};
};

}  // namespace q3vl
