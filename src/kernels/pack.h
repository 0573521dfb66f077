// Codes of a few bits ↔ bytes, low bits first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace q3vl {

/// Packs codes below 2^bits, 8 / bits to a byte; `bits` is 2, 4 or 8, and the codes fill whole bytes.
void pack_codes(std::span<const std::uint8_t> codes, int bits, std::byte* into);

/// The reverse: `codes` are as many as were packed.
void unpack_codes(const std::byte* packed, int bits, std::span<std::uint8_t> codes);

}  // namespace q3vl
