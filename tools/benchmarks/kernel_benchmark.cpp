// How fast the loops over weights are, by every instruction set of this machine, beside memcpy.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <hwy/aligned_allocator.h>
#include <hwy/highway.h>
#include <cstring>
#include <functional>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "base/half.h"
#include "kernels/choose_scales.h"
#include "kernels/convert.h"
#include "kernels/pack.h"
#include "kernels/quantize.h"
#include "quant/encoder.h"
#include "quant/quantizer.h"

namespace {

using namespace q3vl;

// What an export works on: rows of a 4B's hidden size in a block of 4 MiB as the checkpoint stores them.
constexpr std::size_t kColumns = 2560;
constexpr std::size_t kRows = (4U << 20) / (kColumns * sizeof(std::uint16_t));
constexpr std::size_t kHalfRow = kColumns * sizeof(std::uint16_t);
constexpr std::size_t kFloatRow = kColumns * sizeof(float);
constexpr std::size_t kPackedRow = kColumns / 2;

constexpr BlockFormat kUsual{32, 4, false};

/// Zeroed memory that begins on a boundary that every vector fits.
template <class T>
class Aligned {
 public:
  explicit Aligned(std::size_t count) : count_(count), values_(hwy::AllocateAligned<T>(count)) {
    if (!values_) throw std::bad_alloc();
    std::memset(values_.get(), 0, count * sizeof(T));
  }

  T* data() { return values_.get(); }
  std::span<T> span() { return {values_.get(), count_}; }
  T* row(std::size_t index, std::size_t length) { return values_.get() + index * length; }

 private:
  std::size_t count_;
  hwy::AlignedFreeUniquePtr<T[]> values_;
};

/// The memory of one worker of an export. What the checkpoint gives and the package takes are whole blocks; what lies
/// between two steps is one row, which stays in the processor's nearest cache.
struct WorkingSet {
  Aligned<std::byte> bfloat16{kRows * kHalfRow};
  Aligned<std::byte> float16{kRows * kHalfRow};
  Aligned<std::byte> packed{kRows * kPackedRow};
  Aligned<float> scales{kColumns / kMinBlockSize};
  Aligned<std::uint8_t> zero_points{kColumns / kMinBlockSize};
  Aligned<float> row{kColumns};
  Aligned<std::uint8_t> codes{kColumns};

  BlockScales blocks(const BlockFormat& format) {
    return {scales.span().first(format.blocks(kColumns)), zero_points.span().first(format.blocks(kColumns))};
  }

  /// Weights as they are usual: normal, of a small spread.
  WorkingSet() {
    std::mt19937 random(1);
    std::normal_distribution<float> normal(0, 0.02F);
    for (std::size_t i = 0; i < kRows * kColumns; ++i) {
      const float value = normal(random);
      const std::uint16_t brain = float32_to_bfloat16(value);
      const std::uint16_t half = float32_to_float16(value);
      std::memcpy(bfloat16.data() + i * sizeof(brain), &brain, sizeof(brain));
      std::memcpy(float16.data() + i * sizeof(half), &half, sizeof(half));
    }
    widen_to_float32(DataType::bfloat16, {bfloat16.data(), kHalfRow}, row.data());
    choose_nearest(row.span(), {}, kUsual, blocks(kUsual));
    assign_codes(row.span(), kUsual, blocks(kUsual), codes.data());
  }
};

WorkingSet& working_set() {
  static WorkingSet set;
  return set;
}

/// Lets Highway choose `target` alone, of those that this machine has.
void use_target(std::int64_t target) {
  hwy::SetSupportedTargetsForTest(target);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

/// Measures `each_row(index)` over the rows of a block. `row_bytes` are those that a row reads and writes.
void measure_rows(const std::string& name, std::int64_t target, std::size_t row_bytes,
                  const std::function<void(std::size_t)>& each_row) {
  benchmark::RegisterBenchmark(fmt::format("{}/{}", name, hwy::TargetName(target)).c_str(),
                               [target, row_bytes, each_row](benchmark::State& state) {
                                 use_target(target);
                                 for (auto _ : state) {
                                   for (std::size_t index = 0; index < kRows; ++index) each_row(index);
                                   benchmark::ClobberMemory();
                                 }
                                 state.SetBytesProcessed(state.iterations() * kRows * row_bytes);
                               });
}

void register_conversions(std::int64_t target, WorkingSet& set) {
  const auto stored = [&set](DataType type, std::size_t index) -> std::span<const std::byte> {
    return {(type == DataType::bfloat16 ? set.bfloat16 : set.float16).row(index, kHalfRow), kHalfRow};
  };
  for (const DataType type : {DataType::bfloat16, DataType::float16}) {
    const std::string_view name = type == DataType::bfloat16 ? "bfloat16" : "float16";
    measure_rows(fmt::format("count_nonfinite/{}", name), target, kHalfRow,
                 [=](std::size_t index) { benchmark::DoNotOptimize(count_nonfinite(type, stored(type, index))); });
    measure_rows(fmt::format("widen_to_float32/{}", name), target, kHalfRow + kFloatRow,
                 [=, &set](std::size_t index) { widen_to_float32(type, stored(type, index), set.row.data()); });
  }
  measure_rows("round_to_float16", target, kFloatRow + kHalfRow, [&set](std::size_t index) {
    benchmark::DoNotOptimize(round_to_float16(set.row.span(), set.float16.row(index, kHalfRow)));
  });
}

std::string name_of(const BlockFormat& format) {
  return fmt::format("{}bit/block{}/{}", format.bits, format.size, format.symmetric ? "sym" : "asym");
}

void register_quantizers(std::int64_t target, WorkingSet& set) {
  for (const BlockFormat& format : {BlockFormat{32, 4, true}, kUsual, BlockFormat{128, 4, false}}) {
    for (const Quantizer& method : quantizers()) {
      if (method.feedback || (format.symmetric && !method.symmetric)) continue;
      measure_rows(fmt::format("choose_{}/{}", method.name, name_of(format)), target, kFloatRow,
                   [=, &set](std::size_t) { method.choose(set.row.span(), {}, format, set.blocks(format)); });
    }
    measure_rows("assign_codes/" + name_of(format), target, kFloatRow + kColumns, [=, &set](std::size_t) {
      assign_codes(set.row.span(), format, set.blocks(format), set.codes.data());
    });
    measure_rows("dequantize/" + name_of(format), target, kFloatRow + kColumns,
                 [=, &set](std::size_t) { dequantize(set.codes.data(), format, set.blocks(format), set.row.span()); });
  }
  measure_rows("pack_codes/4bit", target, kColumns + kPackedRow,
               [&set](std::size_t index) { pack_codes(set.codes.span(), 4, set.packed.row(index, kPackedRow)); });
  measure_rows("unpack_codes/4bit", target, kPackedRow + kColumns,
               [&set](std::size_t index) { unpack_codes(set.packed.row(index, kPackedRow), 4, set.codes.span()); });
}

/// All steps together, as an export takes them; of the bytes, those that it reads are counted.
void register_encoder(std::int64_t target, WorkingSet& set) {
  for (const std::string_view method : {"rtn", "grid"}) {
    benchmark::RegisterBenchmark(
        fmt::format("encode_rows/bfloat16_to_int4/block32/{}/{}", method, hwy::TargetName(target)).c_str(),
        [target, method, &set](benchmark::State& state) {
          use_target(target);
          const Encoding encoding{.format = Encoding::Format::block_quantized,
                                  .bits = 4,
                                  .block_size = 32,
                                  .symmetric = method == "rtn",
                                  .quantizer = std::string(method)};
          std::vector<std::vector<std::byte>> bytes;
          std::vector<std::span<std::byte>> parts;
          for (const EncodedPart& part : encoded_parts(encoding, DataType::bfloat16, kRows, kColumns))
            bytes.emplace_back(kRows * part.row_bytes);
          for (std::vector<std::byte>& part : bytes) parts.emplace_back(part);
          const StoredRows rows{DataType::bfloat16, kColumns, set.bfloat16.span()};
          for (auto _ : state) benchmark::DoNotOptimize(encode_rows(encoding, rows, {}, parts));
          state.SetBytesProcessed(state.iterations() * kRows * kHalfRow);
        });
  }
}

/// What the kernels are held against: copies from block to block, and of one row over and over.
void register_copies(WorkingSet& set) {
  struct Copy {
    const char* name;
    std::size_t stride;
  };
  for (const auto [name, stride] : {Copy{"memcpy/block", kHalfRow}, Copy{"memcpy/row", 0}})
    benchmark::RegisterBenchmark(name, [&set, stride = stride](benchmark::State& state) {
      Aligned<std::byte> into(kRows * kHalfRow);
      for (auto _ : state)
        for (std::size_t index = 0; index < kRows; ++index) {
          std::memcpy(into.row(index, stride), set.bfloat16.row(index, stride), kHalfRow);
          benchmark::ClobberMemory();
        }
      state.SetBytesProcessed(state.iterations() * kRows * 2 * kHalfRow);
    });
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  WorkingSet& set = working_set();
  register_copies(set);
  // Listed before the first benchmark chooses among them.
  for (const std::int64_t target : hwy::SupportedAndGeneratedTargets()) {
    register_conversions(target, set);
    register_quantizers(target, set);
    register_encoder(target, set);
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
