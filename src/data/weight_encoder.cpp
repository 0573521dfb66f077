#include "data/weight_encoder.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <semaphore>
#include <string>
#include <utility>
#include <vector>

#include "base/parallel.h"
#include "quant/encoder.h"
#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

// Read and encoded at once. The system starts each write for the disk by itself, so that small ones cost it dearly.
constexpr std::uint64_t kBlockBytes = 4U << 20;

// So many rows end where a page of the file ends, since rows of nearly all matrices are multiples of 64 bytes. Where
// two blocks share a page, the second may have to wait until it is read back from the disk.
constexpr std::int64_t kRowsToAPage = 64;

// Threads beyond those that encode: while some wait for the disk, as many as may encode still do.
constexpr int kWaitingThreads = 2;

// How many times the blocks that are worked on the first and the last of them may span: what was done early waits in
// memory for its place in the file's digest.
constexpr std::size_t kBlocksAhead = 2;

// Each takes in some 4 GB of bfloat16 a second: no disk keeps up with so many.
constexpr int kEnoughEncoders = 16;

/// A tensor of the checkpoint and the weights that it becomes: a tied embedding is looked up in one form and multiplied
/// with in another, and is read once for both.
struct Source {
  WeightRows rows;
  std::vector<const PlacedWeight*> weights;
};

/// What is known of the inputs of a tensor's weights, while any of its jobs is open.
class OpenStatistics {
 public:
  explicit OpenStatistics(std::int64_t jobs) : open_jobs_(jobs) {}

  const InputStatistics& get(const WeightSource& source, const WeightRequest& request) {
    const std::lock_guard lock(mutex_);
    const auto known = statistics_.find(&request);
    return known != statistics_.end() ? known->second
                                      : statistics_.emplace(&request, source.statistics(request)).first->second;
  }

  void finish_job() {
    if (--open_jobs_ == 0) statistics_.clear();
  }

 private:
  std::mutex mutex_;
  std::map<const WeightRequest*, InputStatistics> statistics_;
  std::atomic<std::int64_t> open_jobs_;
};

/// Rows [begin, end) of a tensor.
struct Job {
  const Source* source;
  std::shared_ptr<OpenStatistics> statistics;
  std::int64_t begin;
  std::int64_t end;

  std::uint64_t bytes() const { return source->rows.row_bytes() * static_cast<std::uint64_t>(end - begin); }
};

/// In the order of the layout, so that files are filled from their beginnings to their ends.
std::vector<Source> sources_of(const DataLayout& layout, const Checkpoint& checkpoint) {
  std::vector<Source> sources;
  std::map<std::string, std::size_t> places;
  for (const PlacedWeight& weight : layout.weights()) {
    const auto [place, added] = places.try_emplace(weight.request->name, sources.size());
    if (added) sources.push_back({WeightRows(checkpoint, weight.request->name), {}});
    sources[place->second].weights.push_back(&weight);
  }
  return sources;
}

std::vector<Job> jobs_of(const std::vector<Source>& sources) {
  std::vector<Job> jobs;
  for (const Source& source : sources) {
    const auto fitting = std::max<std::int64_t>(1, static_cast<std::int64_t>(kBlockBytes / source.rows.row_bytes()));
    const std::int64_t rows = fitting < kRowsToAPage ? fitting : fitting / kRowsToAPage * kRowsToAPage;
    const std::int64_t all = source.rows.rows();
    const auto statistics = std::make_shared<OpenStatistics>((all + rows - 1) / rows);
    for (std::int64_t begin = 0; begin < all; begin += rows)
      jobs.push_back({&source, statistics, begin, std::min(begin + rows, all)});
  }
  return jobs;
}

/// Buffers of one job at a time, reused from job to job.
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

/// Encodes what `scratch` has read for one of the tensor's weights, and counts the values that are not finite. The
/// result lies in `scratch` or, where the package stores the checkpoint's own bytes, is its block.
std::vector<std::span<const std::byte>> encode(const Job& job, const WeightRequest& request, const WeightSource& source,
                                               Scratch& scratch, std::int64_t& nonfinite) {
  const bool as_stored = request.encoding.format == Encoding::Format::stored;
  std::vector<std::span<std::byte>> parts;
  scratch.parts.resize(std::max(scratch.parts.size(), request.parts.size()));
  for (std::size_t i = 0; i < request.parts.size() && !as_stored; ++i) {
    scratch.parts[i].resize(request.parts[i].row_bytes * static_cast<std::uint64_t>(job.end - job.begin));
    parts.emplace_back(scratch.parts[i]);
  }
  const std::span<const std::byte> stored = scratch.block->stored();
  try {
    static const InputStatistics nothing;
    const InputStatistics& inputs = request.encoding.looks_at_inputs() ? job.statistics->get(source, request) : nothing;
    nonfinite = encode_rows(request.encoding, {request.stored, request.columns, stored}, inputs, parts);
  } catch (const Error& error) {
    if (error.kind() != ErrorKind::bad_input) throw;
    throw Error(ErrorKind::bad_input,
                fmt::format("{}: tensor \"{}\" {}", job.source->rows.file().string(), request.name, error.what()));
  }
  if (as_stored) return {stored};
  return {parts.begin(), parts.end()};
}

}  // namespace

int encoding_threads(int requested) {
  return requested > 0 ? requested : std::min(available_processors(), kEnoughEncoders);
}

std::uint64_t bytes_to_encode(const DataLayout& layout, const Checkpoint& checkpoint) {
  std::uint64_t bytes = 0;
  for (const Source& source : sources_of(layout, checkpoint)) bytes += source.rows.bytes();
  return bytes;
}

NonfiniteValues encode_weights(const DataLayout& layout, const WeightSource& source, int threads,
                               const std::function<void(const EncodedRows&)>& visit,
                               const std::function<void(std::uint64_t done)>& progress) {
  const Checkpoint& checkpoint = *source.checkpoint;
  const std::vector<Source> sources = sources_of(layout, checkpoint);
  const std::vector<Job> jobs = jobs_of(sources);
  const int all_threads = threads + kWaitingThreads;
  std::counting_semaphore<> encoders(threads);
  std::mutex mutex;
  std::uint64_t done = 0;
  NonfiniteValues nonfinite;
  std::vector<Scratch> idle;
  const auto take_scratch = [&] {
    const std::lock_guard lock(mutex);
    if (idle.empty()) return Scratch{source.make_block(), {}};
    Scratch scratch = std::move(idle.back());
    idle.pop_back();
    return scratch;
  };
  const auto work = [&](std::size_t index) {
    Scratch scratch = take_scratch();
    const Job& job = jobs[index];
    scratch.block->read(job.source->rows, job.begin, job.end);
    std::int64_t found = 0;  // the same in each of the weights
    for (const PlacedWeight* weight : job.source->weights) {
      const std::vector<std::span<const std::byte>> parts = [&] {
        const EncoderSlot slot(encoders);
        return encode(job, *weight->request, source, scratch, found);
      }();
      visit({weight, job.begin, job.end, parts});
    }
    job.statistics->finish_job();
    const std::lock_guard lock(mutex);
    idle.push_back(std::move(scratch));
    if (found > 0) nonfinite[job.source->rows.name()] += found;
    done += job.bytes();
    progress(done);
  };
  parallel_for(jobs.size(), all_threads, work, kBlocksAhead * static_cast<std::size_t>(all_threads));
  return nonfinite;
}

std::string describe(const NonfiniteValues& values) {
  constexpr std::size_t kShown = 10;
  std::vector<std::string> shown;
  for (const auto& [name, count] : values)
    if (shown.size() < kShown) shown.push_back(fmt::format("\"{}\" ({})", name, count));
  return fmt::format("{} tensors have values that are NaN or infinite: {}{}", values.size(), fmt::join(shown, ", "),
                     values.size() > kShown ? fmt::format(" and {} more", values.size() - kShown) : "");
}

void expect_finite(const NonfiniteValues& values, const Checkpoint& checkpoint) {
  if (values.empty()) return;
  throw Error(ErrorKind::bad_input,
              fmt::format("{}: {}; the checkpoint is damaged, or its training diverged; --allow-nonfinite takes them "
                          "as they are, or as 0 where they are quantised",
                          checkpoint.folder().string(), describe(values)));
}

}  // namespace q3vl
