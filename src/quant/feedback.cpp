#include "quant/feedback.h"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/convert.h"
#include "kernels/feedback.h"
#include "quant/quantized_row.h"
#include "quant/quantizer.h"
#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

/// Columns whose errors reach the columns behind them together, as one product of matrices.
constexpr std::size_t kPanelColumns = 128;

/// Factors R[i][j] of the columns of a panel, widened: to the panel's own columns and to all behind it.
class PanelFactors {
 public:
  PanelFactors(std::span<const std::uint16_t> triangle, std::size_t columns) : triangle_(triangle), columns_(columns) {}

  void widen(std::size_t begin, std::size_t end) {
    width_ = columns_ - begin;
    factors_.resize((end - begin) * width_);
    for (std::size_t i = begin; i < end; ++i) {
      // Rows 0 … i−1 hold columns − 1, columns − 2, … factors.
      const std::size_t first = i * (columns_ - 1) - i * (i - 1) / 2;
      widen_to_float32(DataType::float16, std::as_bytes(triangle_.subspan(first, columns_ - 1 - i)),
                       factors_.data() + (i - begin) * width_ + (i - begin) + 1);
    }
  }

  std::size_t stride() const { return width_; }
  /// R[begin + i][begin + j]; meaningful for j > i.
  const float* at(std::size_t i, std::size_t j) const { return factors_.data() + i * width_ + j; }

 private:
  std::span<const std::uint16_t> triangle_;
  std::size_t columns_;
  std::size_t width_ = 0;
  std::vector<float> factors_;
};

/// The rows of a weight, on their way.
class FeedbackRows {
 public:
  FeedbackRows(const Encoding& encoding, std::size_t columns, Importance importance)
      : method_(quantizer(encoding.quantizer)),
        format_(encoding.blocks()),
        columns_(columns),
        importance_(importance.begin(), importance.end()) {}

  /// Takes a row in; what is not finite counts as 0.
  void add(DataType type, std::span<const std::byte> stored, bool finite) {
    values_.resize(values_.size() + columns_);
    const std::span<float> row = std::span(values_).last(columns_);
    widen_to_float32(type, stored, row.data());
    if (!finite) zero_nonfinite(row);
    results_.emplace_back(format_, columns_);
    ++rows_;
  }

  void quantize(PanelFactors& factors) {
    const std::size_t panel_columns = std::max(kPanelColumns, format_.size);
    for (std::size_t begin = 0; begin < columns_ && rows_ > 0; begin += panel_columns) {
      const std::size_t end = std::min(begin + panel_columns, columns_);
      factors.widen(begin, end);
      errors_.assign(rows_ * (end - begin), 0.0F);
      for (std::size_t block = begin; block < end; block += format_.size) quantize_block(factors, begin, block, end);
      spread_errors(values_.data() + end, columns_, rows_, columns_ - end, errors_.data(), end - begin,
                    factors.at(0, end - begin), factors.stride());
    }
  }

  QuantizedRow& result(std::size_t row) { return results_[row]; }

 private:
  void quantize_block(const PanelFactors& factors, std::size_t begin, std::size_t block, std::size_t end) {
    const std::size_t count = std::min(format_.size, columns_ - block);
    // The block of all rows, as one row of as many blocks: quantisers work on several at a time.
    block_values_.assign(rows_ * format_.size, 0.0F);
    block_importance_.assign(importance_.empty() ? 0 : rows_ * format_.size, 0.0F);
    for (std::size_t row = 0; row < rows_; ++row) {
      std::copy_n(values_.data() + row * columns_ + block, count, block_values_.data() + row * format_.size);
      if (!importance_.empty())
        std::copy_n(importance_.data() + block, count, block_importance_.data() + row * format_.size);
    }
    scales_.resize(rows_);
    zero_points_.resize(rows_);
    method_.choose(block_values_, block_importance_, format_, {scales_, zero_points_});
    round_scales_to_float16(scales_);
    for (std::size_t row = 0; row < rows_; ++row) {
      QuantizedRow& result = results_[row];
      const std::size_t index = block / format_.size;
      result.blocks().scales[index] = scales_[row];
      result.blocks().zero_points[index] = zero_points_[row];
      std::fill_n(result.codes() + block, format_.size, zero_points_[row]);
      quantize_block_with_feedback(values_.data() + row * columns_ + block, count, end - block,
                                   factors.at(block - begin, block - begin), factors.stride(), format_.last_code(),
                                   scales_[row], zero_points_[row], result.codes() + block,
                                   errors_.data() + row * (end - begin) + (block - begin));
    }
  }

  const Quantizer& method_;
  BlockFormat format_;
  std::size_t columns_;
  std::vector<float> importance_;
  std::size_t rows_ = 0;
  std::vector<float> values_;  // [rows, columns], what is left to quantise
  std::vector<float> errors_;  // [rows, columns of the panel]
  std::vector<QuantizedRow> results_;
  std::vector<float> block_values_;
  std::vector<float> block_importance_;
  std::vector<float> scales_;
  std::vector<std::uint8_t> zero_points_;
};

}  // namespace

std::int64_t encode_with_feedback(const Encoding& encoding, const StoredRows& rows, const InputStatistics& inputs,
                                  std::span<const std::span<std::byte>> parts) {
  const auto columns = static_cast<std::size_t>(rows.columns);
  if (inputs.feedback.size() != columns * (columns - 1) / 2)
    throw Error(ErrorKind::bad_input, fmt::format("is to be quantised by {}, which needs a calibration with feedback "
                                                  "factors of it",
                                                  encoding.quantizer));
  FeedbackRows work(encoding, columns, inputs.importance);
  const std::size_t row_bytes = columns * size_of(rows.type);
  std::int64_t nonfinite = 0;
  std::size_t count = 0;
  for (std::size_t index = 0; index * row_bytes < rows.bytes.size(); ++index, ++count) {
    const std::span<const std::byte> row = rows.bytes.subspan(index * row_bytes, row_bytes);
    const std::int64_t found = count_nonfinite(rows.type, row);
    nonfinite += found;
    work.add(rows.type, row, found == 0);
  }
  PanelFactors factors(inputs.feedback, columns);
  work.quantize(factors);
  for (std::size_t row = 0; row < count; ++row) work.result(row).store(parts, row);
  return nonfinite;
}

}  // namespace q3vl
