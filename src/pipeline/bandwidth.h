// How fast this machine reads its memory.
#pragma once

namespace q3vl {

/// Bytes a second that `threads` threads read from a buffer far larger than the caches, of which each has a share: the
/// best of several passes. Takes 512 MiB while it runs.
double read_bandwidth(int threads);

}  // namespace q3vl
