#include "quant/encoding.h"

#include <fmt/format.h>

#include "qwen3vl_export/error.h"

namespace q3vl {

std::string to_string(const Encoding& encoding) {
  switch (encoding.format) {
    case Encoding::Format::stored:
      return "stored";
    case Encoding::Format::float32:
      return "float32";
    case Encoding::Format::float16:
      return "float16";
    case Encoding::Format::block_quantized:
      return fmt::format("int{}-block{}-{}-{}", encoding.bits, encoding.block_size, encoding.quantizer,
                         encoding.symmetric ? "sym" : "asym");
    case Encoding::Format::w8a8:
      return "w8a8";
    case Encoding::Format::row_norms:
      return "row_norms";
  }
  throw Error(ErrorKind::internal, "encoding without a name");
}

std::int64_t blocks_per_row(const Encoding& encoding, std::int64_t columns) {
  return (columns + encoding.block_size - 1) / encoding.block_size;
}

std::vector<EncodedPart> encoded_parts(const Encoding& encoding, DataType stored, std::int64_t rows,
                                       std::int64_t columns) {
  const auto plain = [&](DataType type, std::string suffix) {
    return std::vector{
        EncodedPart{std::move(suffix), type, {rows, columns}, static_cast<std::uint64_t>(columns) * size_of(type)}};
  };
  switch (encoding.format) {
    case Encoding::Format::stored:
      return plain(stored, "");
    case Encoding::Format::float32:
      return plain(DataType::float32, stored == DataType::float32 ? "" : "float32");
    case Encoding::Format::float16:
      return plain(DataType::float16, stored == DataType::float16 ? "" : "float16");
    case Encoding::Format::w8a8:
      return {EncodedPart{"int8", DataType::int8, {rows, columns}, static_cast<std::uint64_t>(columns)},
              EncodedPart{"scales", DataType::float32, {rows}, sizeof(float)},
              EncodedPart{"zero_points", DataType::int8, {rows}, 1}};
    case Encoding::Format::row_norms:
      return {EncodedPart{"row_norms", DataType::float32, {rows}, sizeof(float)}};
    case Encoding::Format::block_quantized:
      break;
  }
  const std::int64_t blocks = blocks_per_row(encoding, columns);
  const std::int64_t block_bytes = encoding.block_size * encoding.bits / 8;
  const auto part = [&](std::string suffix, DataType type, Shape shape, std::int64_t row_bytes) {
    return EncodedPart{std::move(suffix), type, std::move(shape), static_cast<std::uint64_t>(row_bytes)};
  };
  std::vector<EncodedPart> parts = {
      part(fmt::format("int{}", encoding.bits), DataType::uint8, {rows, blocks, block_bytes}, blocks * block_bytes),
      part("scales", DataType::float16, {rows, blocks}, blocks * 2)};
  const std::int64_t zero_bytes = (blocks * encoding.bits + 7) / 8;
  if (!encoding.symmetric) parts.push_back(part("zero_points", DataType::uint8, {rows, zero_bytes}, zero_bytes));
  return parts;
}

}  // namespace q3vl
