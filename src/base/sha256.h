// SHA-256 (FIPS 180-4), through OpenSSL, which uses the instructions that the machine has for it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace q3vl {

/// A digest that grows with the bytes it is given.
class Sha256 {
 public:
  Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  ~Sha256();

  void update(std::span<const std::byte> bytes);

  /// As update() with `count` bytes of zero.
  void update_zeros(std::uint64_t count);

  /// The digest of all bytes so far in 64 hexadecimal digits; the last call on an object.
  std::string hex();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

/// The digits of the digest of `text`.
std::string sha256_of(std::string_view text);

/// The digits of the digest of a file, read block by block. Throws Error(bad_input).
std::string sha256_of_file(const std::filesystem::path& path);

}  // namespace q3vl
