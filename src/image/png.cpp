#include "image/png.h"

#include <fmt/format.h>
#include <png.h>

#include <cstring>
#include <vector>

#include "image/library_guard.h"
#include "image/orientation.h"
#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

void on_error(png_structp png, png_const_charp message) {
  static_cast<LibraryGuard*>(png_get_error_ptr(png))->leave(message);
}

/// Warnings tell of chunks beside the pixels.
void on_warning(png_structp /*png*/, png_const_charp /*message*/) {}

void read_bytes(png_structp png, png_bytep into, std::size_t count) {
  auto& rest = *static_cast<std::string_view*>(png_get_io_ptr(png));
  if (count > rest.size()) png_error(png, "the file ends early, it was cut short");
  std::memcpy(into, rest.data(), count);
  rest.remove_prefix(count);
}

/// libpng's state for one picture, freed on every way out.
struct PngReader {
  LibraryGuard guard;
  png_structp png;
  png_infop info;
  PngReader()
      : png(png_create_read_struct(PNG_LIBPNG_VER_STRING, &guard, on_error, on_warning)),
        info(png_create_info_struct(png)) {}
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;
  ~PngReader() { png_destroy_read_struct(&png, &info, nullptr); }
};

int orientation_of(png_structp png, png_infop info) {
  png_uint_32 size = 0;
  png_bytep bytes = nullptr;
  if (png_get_eXIf_1(png, info, &size, &bytes) == 0) return 1;
  return exif_orientation({reinterpret_cast<const char*>(bytes), size});
}

}  // namespace

DecodedImage decode_png(std::string_view bytes, const std::string& origin) {
  PngReader reader;
  png_struct* const png = reader.png;
  png_info* const info = reader.info;
  if (!png || !info) throw Error(ErrorKind::internal, "libpng cannot be set up");
  const auto run = [&](auto calls) {
    if (!reader.guard.run(calls))
      throw Error(ErrorKind::bad_input,
                  fmt::format("{}: cannot be read as a PNG picture: {}", origin, reader.guard.message()));
  };
  run([&] {
    png_set_read_fn(png, &bytes, read_bytes);
    png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);  // allocate_image has the limit
    png_read_info(png, info);
  });
  DecodedImage decoded{allocate_image({png_get_image_width(png, info), png_get_image_height(png, info)}, origin)};
  RgbImage& image = decoded.image;
  std::vector<png_bytep> rows;
  for (std::int64_t y = 0; y < image.height; ++y) rows.push_back(&image.pixels[y * image.width * 3]);
  run([&] {
    png_set_expand(png);
    png_set_strip_16(png);
    png_set_strip_alpha(png);
    png_set_gray_to_rgb(png);
    png_set_interlace_handling(png);
    png_read_update_info(png, info);
    if (png_get_rowbytes(png, info) != static_cast<std::size_t>(image.width * 3)) png_error(png, "it is not RGB");
    png_read_image(png, rows.data());
    png_read_end(png, info);  // an eXIf chunk may come last
  });
  decoded.orientation = orientation_of(png, info);
  return decoded;
}

}  // namespace q3vl
