#include "quant/encoder.h"

#include <fmt/format.h>
#include <hwy/aligned_allocator.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>

#include "kernels/convert.h"
#include "kernels/integer_rows.h"
#include "kernels/quantize.h"
#include "quant/feedback.h"
#include "quant/quantized_row.h"
#include "quant/quantizer.h"
#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

/// Encodes row after row in a float type.
class FloatRows {
 public:
  static constexpr bool kHoldsNonfinite = true;

  FloatRows(DataType type, std::int64_t columns, std::span<std::byte> into)
      : type_(type), row_bytes_(static_cast<std::size_t>(columns) * size_of(type)), into_(into) {}

  void encode(std::span<const float> row, std::size_t index) const {
    std::byte* into = into_.data() + index * row_bytes_;
    if (type_ == DataType::float32) {
      std::memcpy(into, row.data(), row_bytes_);
    } else if (round_to_float16(row, into) > 0) {
      const float lost =
          *std::ranges::find_if(row, [](float value) { return std::isfinite(value) && std::fabs(value) >= 65520.0F; });
      throw Error(ErrorKind::bad_input,
                  fmt::format("holds the value {}, which float16 cannot represent (its largest is 65504)", lost));
    }
  }

 private:
  DataType type_;
  std::size_t row_bytes_;
  std::span<std::byte> into_;
};

/// Quantises row after row.
class QuantizedRows {
 public:
  static constexpr bool kHoldsNonfinite = false;

  QuantizedRows(const Encoding& encoding, std::int64_t columns, Importance importance,
                std::span<const std::span<std::byte>> parts)
      : method_(quantizer(encoding.quantizer)),
        importance_(importance),
        row_(encoding.blocks(), static_cast<std::size_t>(columns)),
        parts_(parts) {}

  void encode(std::span<const float> row, std::size_t index) {
    method_.choose(row, importance_, row_.format(), row_.blocks());
    row_.round_scales();
    assign_codes(row, row_.format(), row_.blocks(), row_.codes());
    row_.store(parts_, index);
  }

 private:
  const Quantizer& method_;
  Importance importance_;
  QuantizedRow row_;
  std::span<const std::span<std::byte>> parts_;
};

/// Rows whose columns are multiplied by factors, over and over if they are more.
class BalancedRow {
 public:
  explicit BalancedRow(std::span<const float> balance) : balance_(balance) {}

  /// `row` itself without factors; otherwise valid until the next call.
  std::span<const float> operator()(std::span<const float> row) {
    if (balance_.empty()) return row;
    balanced_.assign(row.begin(), row.end());
    for (std::size_t i = 0; i < row.size(); i += balance_.size())
      for (std::size_t k = 0; k < balance_.size(); ++k) balanced_[i + k] *= balance_[k];
    return balanced_;
  }

 private:
  std::span<const float> balance_;
  std::vector<float> balanced_;
};

/// Encodes row after row for a product of integers.
class IntegerRows {
 public:
  static constexpr bool kHoldsNonfinite = false;

  IntegerRows(std::span<const float> balance, std::span<const std::span<std::byte>> parts)
      : balanced_(balance), parts_(parts) {}

  void encode(std::span<const float> row, std::size_t index) {
    row = balanced_(row);
    const float scale = integer_scale(row);
    round_to_integers(row, scale, reinterpret_cast<std::int8_t*>(parts_[0].data()) + index * row.size());
    std::memcpy(parts_[1].data() + index * sizeof(scale), &scale, sizeof(scale));
    parts_[2][index] = std::byte{0};
  }

 private:
  BalancedRow balanced_;
  std::span<const std::span<std::byte>> parts_;
};

/// Writes the length of row after row.
class RowNorms {
 public:
  static constexpr bool kHoldsNonfinite = false;

  RowNorms(std::span<const float> balance, std::span<std::byte> into) : balanced_(balance), into_(into) {}

  void encode(std::span<const float> row, std::size_t index) {
    double sum = 0;  // a float's square is exact in it, so that fused instructions change nothing
    for (const float value : balanced_(row)) sum += static_cast<double>(value) * static_cast<double>(value);
    const auto norm = static_cast<float>(std::sqrt(sum));
    std::memcpy(into_.data() + index * sizeof(norm), &norm, sizeof(norm));
  }

 private:
  BalancedRow balanced_;
  std::span<std::byte> into_;
};

void dequantize_integers(std::span<const std::span<const std::byte>> parts, std::size_t columns,
                         std::span<float> into) {
  const auto* codes = reinterpret_cast<const std::int8_t*>(parts[0].data());
  for (std::size_t index = 0; index * columns < into.size(); ++index) {
    float scale = 0;
    std::memcpy(&scale, parts[1].data() + index * sizeof(scale), sizeof(scale));
    for (std::size_t i = index * columns; i < (index + 1) * columns; ++i)
      into[i] = static_cast<float>(codes[i]) * scale;
  }
}

/// Widens row after row for `encoder`. A row at a time: what lies between the steps stays in the processor's nearest
/// cache. Returns the number of values that are not finite.
template <class Encoder>
std::int64_t encode_each(const StoredRows& rows, Encoder encoder) {
  const auto columns = static_cast<std::size_t>(rows.columns);
  const std::size_t row_bytes = columns * size_of(rows.type);
  const auto widened = hwy::AllocateAligned<float>(columns);
  if (!widened) throw std::bad_alloc();
  std::int64_t nonfinite = 0;
  for (std::size_t index = 0; index * row_bytes < rows.bytes.size(); ++index) {
    const std::span<const std::byte> row = rows.bytes.subspan(index * row_bytes, row_bytes);
    const std::int64_t found = count_nonfinite(rows.type, row);
    nonfinite += found;
    widen_to_float32(rows.type, row, widened.get());
    if (found > 0 && !Encoder::kHoldsNonfinite) zero_nonfinite({widened.get(), columns});
    encoder.encode({widened.get(), columns}, index);
  }
  return nonfinite;
}

std::int64_t encode_quantized(const Encoding& encoding, const StoredRows& rows, const InputStatistics& inputs,
                              std::span<const std::span<std::byte>> parts) {
  if (!quantizer(encoding.quantizer).feedback)
    return encode_each(rows, QuantizedRows(encoding, rows.columns, inputs.importance, parts));
  return encode_with_feedback(encoding, rows, inputs, parts);
}

}  // namespace

std::int64_t encode_rows(const Encoding& encoding, const StoredRows& rows, const InputStatistics& inputs,
                         std::span<const std::span<std::byte>> parts) {
  switch (encoding.format) {
    case Encoding::Format::stored:
      return count_nonfinite(rows.type, rows.bytes);
    case Encoding::Format::float32:
      return encode_each(rows, FloatRows(DataType::float32, rows.columns, parts[0]));
    case Encoding::Format::float16:
      return encode_each(rows, FloatRows(DataType::float16, rows.columns, parts[0]));
    case Encoding::Format::block_quantized:
      return encode_quantized(encoding, rows, inputs, parts);
    case Encoding::Format::w8a8:
      return encode_each(rows, IntegerRows(inputs.balance, parts));
    case Encoding::Format::row_norms:
      return encode_each(rows, RowNorms(inputs.balance, parts[0]));
  }
  throw Error(ErrorKind::internal, "an encoding without an encoder");
}

void dequantize_rows(const Encoding& encoding, std::span<const std::span<const std::byte>> parts, std::int64_t columns,
                     std::span<float> into) {
  const auto row_size = static_cast<std::size_t>(columns);
  if (!encoding.in_blocks()) return dequantize_integers(parts, row_size, into);
  const BlockFormat format = encoding.blocks();
  QuantizedRow row(format, row_size);
  for (std::size_t index = 0; index * row_size < into.size(); ++index) {
    row.load(parts, index);
    dequantize(row.codes(), format, row.blocks(), into.subspan(index * row_size, row_size));
  }
}

}  // namespace q3vl
