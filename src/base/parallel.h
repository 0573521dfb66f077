// Work shared among threads, and the flag that stops it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace q3vl {

/// Calls `work(index)` for every index below `count`, each once, on `threads` threads (at least 1), in increasing order
/// of their starts; none starts before all those that are `window` or more below it have ended. The first exception
/// stops the hand-out and is thrown again here after every thread has ended.
void parallel_for(std::size_t count, int threads, const std::function<void(std::size_t)>& work,
                  std::size_t window = SIZE_MAX);

/// Set by the signal handler of the command line; long work checks it and throws Error(interrupted).
extern std::atomic<bool> interrupt_requested;

/// Throws Error(interrupted) when the flag is set.
void throw_if_interrupted();

/// The number of processors this process may use.
int available_processors();

}  // namespace q3vl
