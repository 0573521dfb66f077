#include "image/jpeg.h"

#include <cstdio>  // jpeglib.h needs it before

#include <fmt/format.h>
#include <jerror.h>
#include <jpeglib.h>

#include <array>
#include <vector>

#include "image/library_guard.h"
#include "image/orientation.h"
#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

constexpr int kExifMarker = JPEG_APP0 + 1;
constexpr unsigned kLongestSegment = 0xFFFF;

[[noreturn]] void leave(j_common_ptr jpeg) {
  std::array<char, JMSG_LENGTH_MAX> message{};
  jpeg->err->format_message(jpeg, message.data());
  static_cast<LibraryGuard*>(jpeg->client_data)->leave(message.data());
}

/// `level` is -1 for a warning, else it is chatter. Where the data is corrupt, libjpeg would make up the rest; two
/// warnings only tell of a number in a header that it does not know.
void on_message(j_common_ptr jpeg, int level) {
  const int code = jpeg->err->msg_code;
  if (level < 0 && code != JWRN_JFIF_MAJOR && code != JWRN_ADOBE_XFORM) leave(jpeg);
}

/// libjpeg's state for one picture, freed on every way out.
struct JpegReader {
  LibraryGuard guard;
  jpeg_error_mgr errors{};
  jpeg_decompress_struct jpeg{};
  JpegReader() {
    jpeg.err = jpeg_std_error(&errors);
    errors.error_exit = leave;
    errors.emit_message = on_message;
    jpeg.client_data = &guard;
  }
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;
  ~JpegReader() { jpeg_destroy_decompress(&jpeg); }
};

/// Of the first EXIF segment: "Exif", two zeros, a TIFF header.
int orientation_of(const jpeg_decompress_struct& jpeg) {
  constexpr std::string_view kExif("Exif\0\0", 6);
  for (const jpeg_marker_struct* marker = jpeg.marker_list; marker; marker = marker->next) {
    const std::string_view segment(reinterpret_cast<const char*>(marker->data), marker->data_length);
    if (segment.starts_with(kExif)) return exif_orientation(segment.substr(kExif.size()));
  }
  return 1;
}

/// a·b / 255, rounded to nearest, for a and b of 0 to 255.
int times(int a, int b) {
  return (2 * a * b + 255) / (2 * 255);
}

/// One row. `cmyk` is inverted: 255 is no ink.
void cmyk_to_rgb(const std::uint8_t* cmyk, std::uint8_t* rgb, std::int64_t width) {
  for (std::int64_t x = 0; x < width; ++x) {
    const int white = cmyk[x * 4 + 3];
    for (std::int64_t channel = 0; channel < 3; ++channel)
      rgb[x * 3 + channel] = static_cast<std::uint8_t>(white - times(255 - cmyk[x * 4 + channel], white));
  }
}

void grey_to_rgb(const std::uint8_t* grey, std::uint8_t* rgb, std::int64_t width) {
  for (std::int64_t i = 0; i < width * 3; ++i) rgb[i] = grey[i / 3];
}

}  // namespace

DecodedImage decode_jpeg(std::string_view bytes, const std::string& origin) {
  JpegReader reader;
  jpeg_decompress_struct& jpeg = reader.jpeg;
  const auto run = [&](auto calls) {
    if (!reader.guard.run(calls))
      throw Error(ErrorKind::bad_input,
                  fmt::format("{}: cannot be read as a JPEG picture: {}", origin, reader.guard.message()));
  };
  run([&] {
    jpeg_create_decompress(&jpeg);
    jpeg_mem_src(&jpeg, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
    jpeg_save_markers(&jpeg, kExifMarker, kLongestSegment);
    jpeg_read_header(&jpeg, TRUE);
  });
  const int channels = jpeg.num_components;
  if (channels != 1 && channels != 3 && channels != 4)
    throw Error(ErrorKind::bad_input,
                fmt::format("{}: has {} channels, expected 1 (grey), 3 (colour) or 4 (CMYK)", origin, channels));
  DecodedImage decoded{allocate_image({jpeg.image_width, jpeg.image_height}, origin), orientation_of(jpeg)};
  RgbImage& image = decoded.image;
  std::vector<std::uint8_t> row(static_cast<std::size_t>(image.width * channels));
  run([&] {
    jpeg.out_color_space = channels == 1 ? JCS_GRAYSCALE : channels == 3 ? JCS_RGB : JCS_CMYK;
    jpeg_start_decompress(&jpeg);
    // Nothing is read after the last row: some cameras pad their files there.
    for (std::int64_t y = 0; y < image.height; ++y) {
      std::uint8_t* rgb = &image.pixels[y * image.width * 3];
      JSAMPROW into = channels == 3 ? rgb : row.data();
      jpeg_read_scanlines(&jpeg, &into, 1);
      if (channels == 1) grey_to_rgb(row.data(), rgb, image.width);
      if (channels == 4) cmyk_to_rgb(row.data(), rgb, image.width);
    }
  });
  return decoded;
}

}  // namespace q3vl
