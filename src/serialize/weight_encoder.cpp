#include "serialize/weight_encoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <vector>

#include "base/parallel.h"
#include "quant/encoder.h"
#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

// Large enough for the disk, small enough that a few threads' blocks fit into the processor's cache.
constexpr std::uint64_t kBlockBytes = 4U << 20;

/// Rows [begin, end) of one weight.
struct Job {
  const PlacedWeight* weight;
  std::int64_t begin;
  std::int64_t end;
};

std::uint64_t stored_row_bytes(const WeightRequest& request) {
  return static_cast<std::uint64_t>(request.columns) * size_of(request.stored);
}

std::vector<Job> jobs_of(const DataLayout& layout) {
  std::vector<Job> jobs;
  for (const PlacedWeight& weight : layout.weights()) {
    const WeightRequest& request = *weight.request;
    const auto rows = std::max<std::int64_t>(1, static_cast<std::int64_t>(kBlockBytes / stored_row_bytes(request)));
    for (std::int64_t begin = 0; begin < request.rows; begin += rows)
      jobs.push_back({&weight, begin, std::min(begin + rows, request.rows)});
  }
  return jobs;
}

/// Buffers of one thread, reused from job to job.
struct Scratch {
  std::unique_ptr<WeightBlock> block;
  std::vector<std::vector<std::byte>> parts;
};

void encode(const Job& job, const WeightSource& source, Scratch& scratch,
            const std::function<void(const EncodedRows&)>& visit) {
  const Checkpoint& checkpoint = *source.checkpoint;
  const WeightRequest& request = *job.weight->request;
  const TensorInfo& tensor = *checkpoint.find(request.name);
  if (!scratch.block) scratch.block = source.make_block();
  WeightBlock& block = *scratch.block;
  block.read(checkpoint, tensor, request.columns, job.begin, job.end);
  const auto fail = [&](const std::string& reason) {
    const std::string shard = checkpoint.shards()[tensor.shard].path().string();
    throw Error(ErrorKind::bad_input, fmt::format("{}: tensor \"{}\" {}", shard, request.name, reason));
  };
  if (const std::int64_t count = block.nonfinite_count(); count > 0)
    fail(fmt::format("has {} values that are NaN or infinite in rows {} to {}; the checkpoint is damaged", count,
                     job.begin, job.end - 1));
  if (request.encoding.format == Encoding::Format::stored) {
    const std::span<const std::byte> stored = block.stored();
    visit({job.weight, job.begin, job.end, {&stored, 1}});
    return;
  }
  std::vector<std::span<std::byte>> views;
  scratch.parts.resize(std::max(scratch.parts.size(), request.parts.size()));
  for (std::size_t i = 0; i < request.parts.size(); ++i) {
    scratch.parts[i].resize(request.parts[i].row_bytes * static_cast<std::uint64_t>(job.end - job.begin));
    views.emplace_back(scratch.parts[i]);
  }
  try {
    encode_rows(request.encoding, block.float32(), request.columns, views);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::bad_input) throw;
    fail(error.what());
  }
  const std::vector<std::span<const std::byte>> encoded(views.begin(), views.end());
  visit({job.weight, job.begin, job.end, encoded});
}

}  // namespace

std::uint64_t bytes_to_encode(const DataLayout& layout) {
  std::uint64_t bytes = 0;
  for (const PlacedWeight& weight : layout.weights())
    bytes += stored_row_bytes(*weight.request) * static_cast<std::uint64_t>(weight.request->rows);
  return bytes;
}

void encode_weights(const DataLayout& layout, const WeightSource& source, int threads,
                    const std::function<void(const EncodedRows&)>& visit,
                    const std::function<void(std::uint64_t done)>& progress) {
  const std::vector<Job> jobs = jobs_of(layout);
  std::mutex mutex;
  std::uint64_t done = 0;
  parallel_for(jobs.size(), threads, [&](std::size_t index) {
    thread_local Scratch scratch;
    const Job& job = jobs[index];
    encode(job, source, scratch, visit);
    const std::lock_guard lock(mutex);
    done += stored_row_bytes(*job.weight->request) * static_cast<std::uint64_t>(job.end - job.begin);
    progress(done);
  });
}

}  // namespace q3vl
