#include "base/sha256.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <vector>

#include "base/file.h"
#include "base/parallel.h"
#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

constexpr std::size_t kBytesAtOnce = 4U << 20;

void expect(int status) {
  if (status != 1) throw Error(ErrorKind::internal, "OpenSSL cannot compute SHA-256 here");
}

}  // namespace

struct Sha256::Context {
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> state{EVP_MD_CTX_new(), EVP_MD_CTX_free};
};

Sha256::Sha256() : context_(std::make_unique<Context>()) {
  expect(context_->state ? EVP_DigestInit_ex(context_->state.get(), EVP_sha256(), nullptr) : 0);
}

Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;
Sha256::~Sha256() = default;

void Sha256::update(std::span<const std::byte> bytes) {
  expect(EVP_DigestUpdate(context_->state.get(), bytes.data(), bytes.size()));
}

void Sha256::update_zeros(std::uint64_t count) {
  static constexpr std::array<std::byte, 4096> kZeros{};
  for (; count > 0; count -= std::min<std::uint64_t>(count, kZeros.size()))
    update(std::span(kZeros).first(std::min<std::uint64_t>(count, kZeros.size())));
}

std::string Sha256::hex() {
  std::array<unsigned char, 32> digest{};
  expect(EVP_DigestFinal_ex(context_->state.get(), digest.data(), nullptr));
  return fmt::format("{:02x}", fmt::join(digest, ""));
}

std::string sha256_of(std::string_view text) {
  Sha256 digest;
  digest.update(std::as_bytes(std::span(text)));
  return digest.hex();
}

std::string sha256_of_file(const std::filesystem::path& path) {
  const File file = File::open(path);
  const std::uint64_t size = file.size();
  std::vector<std::byte> buffer(std::min<std::uint64_t>(size, kBytesAtOnce));
  Sha256 digest;
  for (std::uint64_t done = 0; done < size; done += buffer.size()) {
    throw_if_interrupted();
    buffer.resize(std::min<std::uint64_t>(size - done, kBytesAtOnce));
    file.read_at(done, buffer);
    digest.update(buffer);
  }
  return digest.hex();
}

}  // namespace q3vl
