// LibTorch's work on several threads, with the same bits on any number of them.
//
//   const ComputeThreads threads(8);
//   const at::Tensor c = product(a, b);
//
// LibTorch and BLAS divide a product among the threads that they have, and every division rounds differently. So they
// get one thread, and this program's threads share blocks whose sizes follow from the shapes alone.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>

namespace q3vl {

/// While it lives, LibTorch and OpenBLAS compute on the thread that calls them, and share_blocks() uses `threads`
/// threads.
class ComputeThreads {
 public:
  /// Throws Error(internal) when the process's address space has no room for what BLAS needs on each thread.
  explicit ComputeThreads(int threads);
  ~ComputeThreads();
  ComputeThreads(const ComputeThreads&) = delete;
  ComputeThreads& operator=(const ComputeThreads&) = delete;

 private:
  int torch_before_;
  int blas_before_;
  int shared_before_;
};

/// Calls `work(index)` for every index below `count` on the threads of the innermost ComputeThreads that lives
/// (default: this thread alone). `operations` are the additions and multiplications of all calls together: few are not
/// worth a second thread. Throws Error(interrupted).
void share_blocks(std::int64_t count, std::int64_t operations, const std::function<void(std::int64_t)>& work);

/// Calls `work(begin, length)` for each piece of [0, size), on the same threads. A piece has `block` elements; the last
/// one has what is left.
void share_ranges(std::int64_t size, std::int64_t block, std::int64_t operations,
                  const std::function<void(std::int64_t begin, std::int64_t length)>& work);

/// a·b: [M, K]·[K, N] -> [M, N].
at::Tensor product(const at::Tensor& a, const at::Tensor& b);

}  // namespace q3vl
