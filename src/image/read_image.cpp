#include "image/read_image.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/file.h"
#include "image/jpeg.h"
#include "image/orientation.h"
#include "image/png.h"
#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

constexpr std::uint64_t kMaxFileBytes = 256U << 20;
constexpr std::string_view kPngSignature = "\x89PNG\r\n\x1a\n";
constexpr std::string_view kJpegSignature = "\xff\xd8\xff";

[[noreturn]] void refuse_format(const std::string& bytes, const std::string& origin) {
  if (bytes.empty()) throw Error(ErrorKind::bad_input, fmt::format("{}: is empty, expected a picture", origin));
  const std::string_view first = std::string_view(bytes).substr(0, kPngSignature.size());
  const std::span shown(reinterpret_cast<const std::uint8_t*>(first.data()), first.size());
  throw Error(ErrorKind::bad_input,
              fmt::format("{}: begins with the bytes {:02x}, expected a PNG or JPEG picture; convert it to one of them",
                          origin, fmt::join(shown, " ")));
}

DecodedImage decode(const std::string& bytes, const std::string& origin) {
  if (bytes.starts_with(kPngSignature)) return decode_png(bytes, origin);
  if (bytes.starts_with(kJpegSignature)) return decode_jpeg(bytes, origin);
  refuse_format(bytes, origin);
}

}  // namespace

RgbImage read_image(const std::filesystem::path& path) {
  DecodedImage decoded = decode(read_text_file(path, kMaxFileBytes), path.string());
  return turned_upright(std::move(decoded.image), decoded.orientation);
}

}  // namespace q3vl
