#include "prompt/png.h"

#include <fmt/format.h>
#include <png.h>

#include <cstring>

#include "base/file.h"
#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

constexpr std::uint64_t kMaxFileBytes = 256U << 20;
constexpr std::int64_t kMaxPixels = std::int64_t{1} << 28;

/// libpng's state for one picture, freed on every way out.
struct PngImage {
  png_image image{};
  PngImage() { image.version = PNG_IMAGE_VERSION; }
  PngImage(const PngImage&) = delete;
  PngImage& operator=(const PngImage&) = delete;
  ~PngImage() { png_image_free(&image); }
};

}  // namespace

RgbImage read_png(const std::filesystem::path& path) {
  const auto fail = [&path](const std::string& reason) {
    throw Error(ErrorKind::bad_input, fmt::format("{}: cannot be read as a PNG picture: {}", path.string(), reason));
  };
  const std::string bytes = read_text_file(path, kMaxFileBytes);
  PngImage png;
  if (!png_image_begin_read_from_memory(&png.image, bytes.data(), bytes.size())) fail(png.image.message);
  const auto width = static_cast<std::int64_t>(png.image.width);
  const auto height = static_cast<std::int64_t>(png.image.height);
  if (width * height > kMaxPixels)
    fail(fmt::format("{}×{} pixels are more than the {} that this program takes", width, height, kMaxPixels));

  // Read with alpha: asked for RGB alone, libpng would blend the picture with a background.
  png.image.format = PNG_FORMAT_RGBA;
  png.image.flags |= PNG_IMAGE_FLAG_16BIT_sRGB;  // 16-bit pictures are sRGB too, unless they say otherwise
  std::vector<std::uint8_t> rgba(PNG_IMAGE_SIZE(png.image));
  if (!png_image_finish_read(&png.image, nullptr, rgba.data(), 0, nullptr)) fail(png.image.message);

  RgbImage picture{.width = width, .height = height, .pixels = {}};
  picture.pixels.resize(static_cast<std::size_t>(width * height * 3));
  for (std::int64_t i = 0; i < width * height; ++i) std::memcpy(&picture.pixels[i * 3], &rgba[i * 4], 3);
  return picture;
}

}  // namespace q3vl
