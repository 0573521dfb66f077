#include "serialize/weight_encoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <semaphore>
#include <vector>

#include "base/parallel.h"
#include "quant/encoder.h"
#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

// Read and encoded at once. The system starts each write for the disk by itself, so that small ones cost it dearly.
constexpr std::uint64_t kBlockBytes = 4U << 20;

// Threads beyond those that encode: while some wait for the disk, as many as may encode still do.
constexpr int kWaitingThreads = 2;

// Two encode 5 GB of bfloat16 a second and more.
constexpr int kEnoughEncoders = 16;

/// Rows [begin, end) of one weight.
struct Job {
  const PlacedWeight* weight;
  const TensorInfo* tensor;
  std::int64_t begin;
  std::int64_t end;
};

std::uint64_t stored_row_bytes(const WeightRequest& request) {
  return static_cast<std::uint64_t>(request.columns) * size_of(request.stored);
}

std::vector<Job> jobs_of(const DataLayout& layout, const Checkpoint& checkpoint) {
  std::vector<Job> jobs;
  for (const PlacedWeight& weight : layout.weights()) {
    const WeightRequest& request = *weight.request;
    const auto rows = std::max<std::int64_t>(1, static_cast<std::int64_t>(kBlockBytes / stored_row_bytes(request)));
    for (std::int64_t begin = 0; begin < request.rows; begin += rows)
      jobs.push_back({&weight, checkpoint.find(request.name), begin, std::min(begin + rows, request.rows)});
  }
  return jobs;
}

/// Buffers of one thread, reused from job to job.
struct Scratch {
  std::unique_ptr<WeightBlock> block;
  std::vector<std::vector<std::byte>> parts;
};

/// Leave to encode, given back at the end of a scope.
class EncoderSlot {
 public:
  explicit EncoderSlot(std::counting_semaphore<>& slots) : slots_(slots) { slots_.acquire(); }
  EncoderSlot(const EncoderSlot&) = delete;
  EncoderSlot& operator=(const EncoderSlot&) = delete;
  ~EncoderSlot() { slots_.release(); }

 private:
  std::counting_semaphore<>& slots_;
};

/// The job's bytes in the checkpoint.
std::uint64_t bytes_of(const Job& job) {
  return stored_row_bytes(*job.weight->request) * static_cast<std::uint64_t>(job.end - job.begin);
}

/// Encodes what `scratch` has read. The result lies in `scratch` or, where the package stores the checkpoint's own
/// bytes, is its block.
std::vector<std::span<const std::byte>> encode(const Job& job, const Checkpoint& checkpoint, Scratch& scratch) {
  const WeightRequest& request = *job.weight->request;
  const bool as_stored = request.encoding.format == Encoding::Format::stored;
  std::vector<std::span<std::byte>> parts;
  scratch.parts.resize(std::max(scratch.parts.size(), request.parts.size()));
  for (std::size_t i = 0; i < request.parts.size() && !as_stored; ++i) {
    scratch.parts[i].resize(request.parts[i].row_bytes * static_cast<std::uint64_t>(job.end - job.begin));
    parts.emplace_back(scratch.parts[i]);
  }
  const auto fail = [&](const std::string& reason) {
    const std::string shard = checkpoint.shards()[job.tensor->shard].path().string();
    throw Error(ErrorKind::bad_input, fmt::format("{}: tensor \"{}\" {}", shard, request.name, reason));
  };
  const std::span<const std::byte> stored = scratch.block->stored();
  std::int64_t nonfinite = 0;
  try {
    nonfinite = encode_rows(request.encoding, {request.stored, request.columns, stored}, parts);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::bad_input) throw;
    fail(error.what());
  }
  if (nonfinite > 0)
    fail(fmt::format("has {} values that are NaN or infinite in rows {} to {}; the checkpoint is damaged", nonfinite,
                     job.begin, job.end - 1));
  if (as_stored) return {stored};
  return {parts.begin(), parts.end()};
}

}  // namespace

int encoding_threads(int requested) {
  return requested > 0 ? requested : std::min(available_processors(), kEnoughEncoders);
}

std::uint64_t bytes_to_encode(const DataLayout& layout) {
  std::uint64_t bytes = 0;
  for (const PlacedWeight& weight : layout.weights())
    bytes += stored_row_bytes(*weight.request) * static_cast<std::uint64_t>(weight.request->rows);
  return bytes;
}

void encode_weights(const DataLayout& layout, const WeightSource& source, int threads,
                    const std::function<void(const EncodedRows&)>& visit,
                    const std::function<void(std::uint64_t done)>& progress) {
  const Checkpoint& checkpoint = *source.checkpoint;
  const std::vector<Job> jobs = jobs_of(layout, checkpoint);
  const int workers = threads + kWaitingThreads;
  std::counting_semaphore<> encoders(threads);
  std::mutex mutex;
  std::uint64_t done = 0;
  parallel_for(jobs.size(), workers, [&](std::size_t index) {
    thread_local Scratch scratch;
    if (!scratch.block) scratch.block = source.make_block();
    const Job& job = jobs[index];
    scratch.block->read(checkpoint, *job.tensor, job.weight->request->columns, job.begin, job.end);
    const std::vector<std::span<const std::byte>> parts = [&] {
      const EncoderSlot slot(encoders);
      return encode(job, checkpoint, scratch);
    }();
    visit({job.weight, job.begin, job.end, parts});
    const std::lock_guard lock(mutex);
    done += bytes_of(job);
    progress(done);
  });
}

}  // namespace q3vl
