#include "serialize/data_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <vector>

#include "base/file.h"
#include "base/parallel.h"
#include "checkpoint/weight_source.h"
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
  WeightBlock block;
  std::vector<std::vector<std::byte>> parts;
};

void encode_and_write(const Job& job, const Checkpoint& checkpoint, const File& file, Scratch& scratch) {
  const WeightRequest& request = *job.weight->request;
  const TensorInfo& tensor = *checkpoint.find(request.name);
  scratch.block.read(checkpoint, tensor, request.columns, job.begin, job.end);
  const auto fail = [&](const std::string& reason) {
    const std::string shard = checkpoint.shards()[tensor.shard].path().string();
    throw Error(ErrorKind::bad_input, fmt::format("{}: tensor \"{}\" {}", shard, request.name, reason));
  };
  if (const std::int64_t count = scratch.block.nonfinite_count(); count > 0)
    fail(fmt::format("has {} values that are NaN or infinite in rows {} to {}; the checkpoint is damaged", count,
                     job.begin, job.end - 1));

  const auto offset = [&](std::size_t part) {
    return job.weight->part_offsets[part] + static_cast<std::uint64_t>(job.begin) * request.parts[part].row_bytes;
  };
  if (request.encoding.format == Encoding::Format::stored) {
    file.write_at(offset(0), scratch.block.stored());
    return;
  }
  std::vector<std::span<std::byte>> views;
  scratch.parts.resize(std::max(scratch.parts.size(), request.parts.size()));
  for (std::size_t i = 0; i < request.parts.size(); ++i) {
    scratch.parts[i].resize(request.parts[i].row_bytes * static_cast<std::uint64_t>(job.end - job.begin));
    views.emplace_back(scratch.parts[i]);
  }
  try {
    encode_rows(request.encoding, scratch.block.float32(), request.columns, views);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::bad_input) throw;
    fail(error.what());
  }
  for (std::size_t i = 0; i < views.size(); ++i) file.write_at(offset(i), views[i]);
}

}  // namespace

std::uint64_t bytes_to_encode(const DataLayout& layout) {
  std::uint64_t bytes = 0;
  for (const PlacedWeight& weight : layout.weights())
    bytes += stored_row_bytes(*weight.request) * static_cast<std::uint64_t>(weight.request->rows);
  return bytes;
}

void write_data_files(const DataLayout& layout, const Checkpoint& checkpoint, const std::filesystem::path& folder,
                      int threads, const std::function<void(std::uint64_t done)>& progress) {
  use_single_threaded_tensors();
  std::map<std::string, File> files;
  for (const auto& [name, size] : layout.files()) {
    File file = File::create(folder / name);
    file.resize(size);
    files.emplace(name, std::move(file));
  }
  const std::vector<Job> jobs = jobs_of(layout);
  std::mutex mutex;
  std::uint64_t done = 0;
  parallel_for(jobs.size(), threads, [&](std::size_t index) {
    thread_local Scratch scratch;
    const Job& job = jobs[index];
    encode_and_write(job, checkpoint, files.at(job.weight->file), scratch);
    const std::lock_guard lock(mutex);
    done += stored_row_bytes(*job.weight->request) * static_cast<std::uint64_t>(job.end - job.begin);
    progress(done);
  });
  for (auto& [name, file] : files) file.finish();
}

}  // namespace q3vl
