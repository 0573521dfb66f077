#include "base/parallel.h"

#include <sched.h>

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "qwen3vl_export/error.h"

namespace q3vl {

std::atomic<bool> interrupt_requested = false;

void throw_if_interrupted() {
  if (interrupt_requested.load(std::memory_order_relaxed))
    throw Error(ErrorKind::interrupted, "interrupted; nothing was left behind");
}

int available_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

void parallel_for(std::size_t count, int threads, const std::function<void(std::size_t)>& work, std::size_t window) {
  std::mutex mutex;
  std::condition_variable moved;
  std::size_t next = 0;
  std::size_t first_open = 0;  // all before it have ended
  std::vector<bool> ended(count);
  std::exception_ptr failure;
  const auto loop = [&] {
    std::unique_lock lock(mutex);
    while (true) {
      moved.wait(lock, [&] { return failure || next == count || next - first_open < window; });
      if (failure || next == count) return;
      const std::size_t index = next++;
      lock.unlock();
      std::exception_ptr thrown;
      try {
        throw_if_interrupted();
        work(index);
      } catch (...) {
        thrown = std::current_exception();
      }
      lock.lock();
      if (thrown && !failure) failure = thrown;
      ended[index] = true;
      while (first_open < next && ended[first_open]) ++first_open;
      moved.notify_all();
    }
  };
  {
    const auto helpers = static_cast<std::size_t>(std::max(1, threads)) - 1;
    std::vector<std::jthread> pool;
    try {
      for (std::size_t i = 0; i < std::min(helpers, count); ++i) pool.emplace_back(loop);
    } catch (const std::system_error&) {
      // The system gives no more threads: those that there are do the work.
    } catch (...) {
      {
        const std::lock_guard lock(mutex);
        next = count;
      }
      moved.notify_all();
      throw;
    }
    loop();
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace q3vl
