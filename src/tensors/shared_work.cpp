#include "tensors/shared_work.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <dlfcn.h>
#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>

#include "base/parallel.h"
#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

constexpr std::int64_t kRowBlock = 512;
constexpr std::int64_t kColumnBlock = 256;
constexpr std::int64_t kWorthAThread = 1 << 23;  // operations: some tenths of a millisecond

thread_local int shared_among = 1;

/// OpenBLAS's function of this name, or null: another BLAS may be installed in its place.
template <typename Function>
Function* openblas(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_DEFAULT, name));
}

/// Returns how many threads it had.
int set_blas_threads(int threads) {
  static const auto get = openblas<int()>("openblas_get_num_threads");
  static const auto set = openblas<void(int)>("openblas_set_num_threads");
  if (get == nullptr || set == nullptr) return threads;
  const int before = get();
  set(threads);
  return before;
}

/// OpenBLAS maps 128 MiB for each thread that computes, and tries without an end where the system refuses. Twice that,
/// so that the tensors have room as well.
void expect_room(int threads) {
  const std::size_t bytes = static_cast<std::size_t>(threads) * 2 * (std::size_t{128} << 20);
  void* room = ::mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED)
    throw Error(
        ErrorKind::internal,
        fmt::format("computing on {} threads takes up to {} bytes of address space, which this process may not have; "
                    "raise the limit (ulimit -v) or use fewer threads (--threads)",
                    threads, bytes));
  ::munmap(room, bytes);
}

}  // namespace

ComputeThreads::ComputeThreads(int threads) : torch_before_(at::get_num_threads()), shared_before_(shared_among) {
  expect_room(threads);
  blas_before_ = set_blas_threads(1);
  at::set_num_threads(1);
  shared_among = threads;
}

ComputeThreads::~ComputeThreads() {
  shared_among = shared_before_;
  set_blas_threads(blas_before_);
  at::set_num_threads(torch_before_);
}

void share_blocks(std::int64_t count, std::int64_t operations, const std::function<void(std::int64_t)>& work) {
  parallel_for(static_cast<std::size_t>(count), operations < kWorthAThread ? 1 : shared_among, [&](std::size_t index) {
    at::init_num_threads();  // which LibTorch keeps for each thread
    work(static_cast<std::int64_t>(index));
  });
}

void share_ranges(std::int64_t size, std::int64_t block, std::int64_t operations,
                  const std::function<void(std::int64_t, std::int64_t)>& work) {
  share_blocks((size + block - 1) / block, operations,
               [&](std::int64_t index) { work(index * block, std::min(block, size - index * block)); });
}

at::Tensor product(const at::Tensor& a, const at::Tensor& b) {
  const std::int64_t rows = a.size(0);
  const std::int64_t columns = b.size(1);
  at::Tensor result = at::empty({rows, columns}, a.options());
  const std::int64_t row_blocks = (rows + kRowBlock - 1) / kRowBlock;
  const std::int64_t column_blocks = (columns + kColumnBlock - 1) / kColumnBlock;
  share_blocks(row_blocks * column_blocks, 2 * rows * columns * a.size(1), [&](std::int64_t index) {
    const std::int64_t row = index / column_blocks * kRowBlock;
    const std::int64_t column = index % column_blocks * kColumnBlock;
    const std::int64_t height = std::min(kRowBlock, rows - row);
    const std::int64_t width = std::min(kColumnBlock, columns - column);
    at::Tensor block = result.narrow(0, row, height).narrow(1, column, width);
    at::mm_out(block, a.narrow(0, row, height), b.narrow(1, column, width));
  });
  return result;
}

}  // namespace q3vl
