#include "verify/package_weights.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/parallel.h"
#include "kernels/convert.h"
#include "quant/encoder.h"
#include "weights/column_balance.h"
#include "weights/weight_rows.h"

namespace q3vl {
namespace {

constexpr std::uint64_t kBlockBytes = 4U << 20;

/// Elements of `type` that lie at `offset` of a file, widened, on several threads.
void read_widened(const File& file, std::uint64_t offset, DataType type, std::span<float> into, int threads) {
  const std::size_t block = kBlockBytes / size_of(type);
  parallel_for((into.size() + block - 1) / block, threads, [&](std::size_t index) {
    const std::size_t begin = index * block;
    const std::size_t count = std::min(block, into.size() - begin);
    std::vector<std::byte> bytes(count * size_of(type));
    file.read_at(offset + begin * size_of(type), bytes);
    widen_to_float32(type, bytes, into.data() + begin);
  });
}

HostTensor read_placed(const PlacedWeight& placed, const Checkpoint& checkpoint, const std::filesystem::path& package,
                       int threads) {
  const WeightRequest& request = *placed.request;
  const File file = File::open(package / placed.file);
  HostTensor tensor = HostTensor::zeros(DataType::float32, checkpoint.find(request.name)->shape);
  const std::span<float> values = tensor.values<float>();
  if (!request.encoding.quantized()) {
    read_widened(file, placed.part_offsets[0], request.parts[0].type, values, threads);
    return tensor;
  }
  const auto block = std::max<std::int64_t>(1, static_cast<std::int64_t>(kBlockBytes / request.parts[0].row_bytes));
  const auto blocks = static_cast<std::size_t>((request.rows + block - 1) / block);
  parallel_for(blocks, threads, [&](std::size_t index) {
    const std::int64_t begin = static_cast<std::int64_t>(index) * block;
    const std::int64_t rows = std::min(block, request.rows - begin);
    std::vector<std::vector<std::byte>> bytes;
    for (std::size_t part = 0; part < request.parts.size(); ++part) {
      const std::uint64_t row_bytes = request.parts[part].row_bytes;
      bytes.emplace_back(static_cast<std::size_t>(rows) * row_bytes);
      file.read_at(placed.part_offsets[part] + static_cast<std::uint64_t>(begin) * row_bytes, bytes.back());
    }
    const std::vector<std::span<const std::byte>> parts(bytes.begin(), bytes.end());
    dequantize_rows(request.encoding, parts, request.columns,
                    values.subspan(static_cast<std::size_t>(begin * request.columns),
                                   static_cast<std::size_t>(rows * request.columns)));
  });
  const std::vector<float> balance = column_balance(checkpoint, request);
  for (std::size_t i = 0; i < values.size() && !balance.empty(); ++i) values[i] /= balance[i % balance.size()];
  return tensor;
}

}  // namespace

ReferenceWeights package_weights(const DataLayout& layout, const Checkpoint& checkpoint,
                                 const std::filesystem::path& package, const Encoding& preferred, int threads) {
  return [&layout, &checkpoint, package, preferred, threads](const std::string& name) {
    const PlacedWeight* chosen = nullptr;
    for (const PlacedWeight& placed : layout.weights())
      if (placed.request->name == name && placed.request->encoding.holds_values() &&
          (chosen == nullptr || placed.request->encoding == preferred))
        chosen = &placed;
    if (chosen == nullptr) return WeightRows(checkpoint, name).to_float32(threads);
    return read_placed(*chosen, checkpoint, package, threads);
  };
}

Likeness quantized_weights(const DataLayout& layout, const Checkpoint& checkpoint, const std::filesystem::path& package,
                           int threads) {
  Likeness likeness;
  for (const PlacedWeight& placed : layout.weights()) {
    if (!placed.request->encoding.quantized()) continue;
    throw_if_interrupted();
    const HostTensor stored = WeightRows(checkpoint, placed.request->name).to_float32(threads);
    likeness.add(read_placed(placed, checkpoint, package, threads).values<float>(), stored.values<float>());
  }
  return likeness;
}

}  // namespace q3vl
