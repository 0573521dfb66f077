// What the operating system says about this process.
#pragma once

#include <cstdint>

namespace q3vl {

/// The largest resident size so far, in bytes.
std::uint64_t peak_memory();

}  // namespace q3vl
