// Picture files to the model's pixels, against what Hugging Face and Pillow recorded and against plain loops.
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <png.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>

#include "base/json.h"
#include "image/jpeg.h"
#include "image/model_image.h"
#include "image/orientation.h"
#include "image/png.h"
#include "image/read_image.h"
#include "image/resize.h"
#include "image/smart_resize.h"
#include "prompt/image_patches.h"
#include "support/refusal.h"
#include "support/temporary_folder.h"
#include "support/test_data.h"

// After cstdio, which it needs.
#include <jpeglib.h>

namespace q3vl::image_test {
namespace {

using Bytes = std::vector<std::uint8_t>;

/// A picture without order, the same everywhere: the high bytes of a linear congruential generator.
RgbImage noise(ImageSize size, std::uint32_t seed) {
  RgbImage image{.width = size.width, .height = size.height, .pixels = {}};
  for (std::int64_t i = 0; i < size.width * size.height * 3; ++i) {
    seed = seed * 1664525 + 1013904223;
    image.pixels.push_back(static_cast<std::uint8_t>(seed >> 24));
  }
  return image;
}

ImageConfig image_config(std::int64_t min_pixels, std::int64_t max_pixels) {
  return {.patch_size = 16,
          .temporal_patch_size = 2,
          .merge_size = 2,
          .min_pixels = min_pixels,
          .max_pixels = max_pixels,
          .image_mean = {0.5, 0.5, 0.5},
          .image_std = {0.5, 0.5, 0.5},
          .rescale_factor = 1.0 / 255.0};
}

TEST(RecordedPictures, AreEqualToTheLastBit) {
  const std::filesystem::path folder = test::data_path("images");
  const Json manifest = read_json_file(folder / "manifest.json");
  const test::Recorded pixels(folder / "pixels_u8.safetensors");
  ASSERT_EQ(manifest.at("cases").size(), 14U);
  for (const auto& [name, expected] : manifest.at("cases").items()) {
    SCOPED_TRACE(name);
    const auto file = folder / expected.at("file").get<std::string>();
    const RgbImage decoded = read_image(file);
    EXPECT_EQ((std::vector{decoded.width, decoded.height}),
              expected.at("decoded_size").get<std::vector<std::int64_t>>());

    const Json& size = expected.at("size");
    const ImageConfig config = size.is_null() ? image_config(65536, 16777216)  // Qwen3-VL's own limits
                                              : image_config(size.at("shortest_edge"), size.at("longest_edge"));
    const RgbImage picture = read_model_image(file, config, config.max_pixels);
    const Patches found = image_patches({&picture, 1}, config);
    EXPECT_EQ((std::vector{found.grid.t, found.grid.h, found.grid.w}),
              expected.at("grid_thw").at(0).get<std::vector<std::int64_t>>());

    const at::Tensor recorded = pixels[name];
    ASSERT_EQ(static_cast<std::int64_t>(found.pixel_values.size()), recorded.numel());
    const auto* wanted = recorded.data_ptr<std::uint8_t>();
    std::int64_t different = 0;
    for (std::size_t i = 0; i < found.pixel_values.size(); ++i)
      different += std::lround(found.pixel_values[i] * 127.5F + 127.5F) != wanted[i];
    EXPECT_EQ(different, 0);
  }
}

TEST(SmartResize, EqualsWhatIsWorkedOutByHand) {
  const auto resized = [](ImageSize size, std::int64_t min_pixels, std::int64_t max_pixels) {
    const ImageSize found = smart_resize(size, 32, min_pixels, max_pixels);
    return std::pair(found.width, found.height);
  };
  // 210/32 = 6.56, 40/32 = 1.25.
  EXPECT_EQ(resized({210, 40}, 4096, 20480), std::pair(224L, 32L));
  // Ties go to the even multiple: 1.5 → 2, 2.5 → 2, 3.5 → 4, 4.5 → 4.
  EXPECT_EQ(resized({48, 80}, 1, 1 << 20), std::pair(64L, 64L));
  EXPECT_EQ(resized({112, 144}, 1, 1 << 20), std::pair(128L, 128L));
  // 0.5 → 0: no pixels are fewer than one, and growing by √(1/1024) rounds up to one multiple each.
  EXPECT_EQ(resized({16, 64}, 1, 1 << 20), std::pair(32L, 32L));
  // √(4096/63) = 8.06: 72.6 and 56.4, rounded up.
  EXPECT_EQ(resized({9, 7}, 4096, 20480), std::pair(96L, 64L));
  // √(500000/100000) = 2.236: 447.2 and 223.6, rounded down.
  EXPECT_EQ(resized({1000, 500}, 4096, 100000), std::pair(416L, 192L));
  // √(204800/65536) = 1.768: 3620 and 18.1; the short side stays one multiple.
  EXPECT_EQ(resized({6400, 32}, 4096, 65536), std::pair(3616L, 32L));
  EXPECT_EQ(resized({32, 6400}, 4096, 65536), std::pair(32L, 3616L));
  // Both limits are allowed themselves.
  EXPECT_EQ(resized({64, 64}, 4096, 4096), std::pair(64L, 64L));
  // Another factor: 100/28 = 3.57, 50/28 = 1.79.
  EXPECT_EQ(smart_resize({100, 50}, 28, 3136, 1 << 20), (ImageSize{112, 56}));
}

TEST(SmartResize, RefusesThinPictures) {
  EXPECT_EQ(refusal(ErrorKind::bad_input,
                    [] {
                      smart_resize({6401, 32}, 32, 4096, 65536);
                    }),
            "the picture is 6401×32 pixels (width × height), expected a longer side of at most 200 times the shorter");
  EXPECT_EQ(refusal(ErrorKind::bad_input,
                    [] {
                      smart_resize({1, 201}, 32, 4096, 65536);
                    }),
            "the picture is 1×201 pixels (width × height), expected a longer side of at most 200 times the shorter");
}

/// FNV-1a, 64 bits.
std::uint64_t hash(const Bytes& bytes) {
  std::uint64_t value = 0xcbf29ce484222325;
  for (const std::uint8_t byte : bytes) value = (value ^ byte) * 0x100000001b3;
  return value;
}

TEST(ResizeBicubic, EqualsPillow) {
  // noise() through Image.resize(size, Image.Resampling.BICUBIC) of Pillow 13.0.0.
  struct Case {
    ImageSize from, to;
    std::uint32_t seed;
    std::uint64_t hash;
  };
  for (const Case& c :
       {Case{{97, 61}, {13, 40}, 1, 0x708f5bbec8d8886e}, Case{{97, 61}, {13, 7}, 2, 0xaeadd4065dfe7577},
        Case{{31, 17}, {200, 150}, 3, 0x96b9e66e049443d6}, Case{{64, 48}, {64, 17}, 4, 0x15de01eae175e599},
        Case{{64, 48}, {19, 48}, 5, 0x2e3913250a298c95}, Case{{150, 33}, {64, 96}, 6, 0x3458f4f19aeea182},
        Case{{2, 400}, {32, 128}, 7, 0xce46ecab1381bcf5}, Case{{1, 1}, {32, 64}, 8, 0x4455f1dcee322325},
        Case{{333, 222}, {320, 224}, 9, 0x7f2256c95d934bdc}, Case{{40, 96}, {32, 80}, 10, 0xf53df424bd2c1a95},
        Case{{40, 97}, {32, 80}, 11, 0xf3552c918b4b68d4}, Case{{32, 33}, {40, 32}, 12, 0x13757a7f53957e30}}) {
    SCOPED_TRACE(testing::Message() << c.from.width << "×" << c.from.height << " to " << c.to.width << "×"
                                    << c.to.height);
    const RgbImage found = resize_bicubic(noise(c.from, c.seed), c.to);
    EXPECT_EQ((ImageSize{found.width, found.height}), c.to);
    EXPECT_EQ(hash(found.pixels), c.hash);
  }
}

/// The weight of source pixel `j` in pixel `i` of the result, before they are made to sum to 1: Keys' kernel, a = -0.5.
double keys_weight(double j, double i, double scale) {
  const double x = std::abs((j + 0.5) - (i + 0.5) * scale) / std::max(scale, 1.0);
  if (x <= 1) return 1.5 * x * x * x - 2.5 * x * x + 1;
  if (x < 2) return -0.5 * x * x * x + 2.5 * x * x - 4 * x + 2;
  return 0;
}

/// One axis of [outer, length, inner] resized by weights over the whole of it, without rounding.
std::vector<double> naive_axis(const std::vector<double>& values, std::int64_t outer, std::int64_t length,
                               std::int64_t inner, std::int64_t new_length) {
  std::vector<double> result;
  const double scale = static_cast<double>(length) / static_cast<double>(new_length);
  for (std::int64_t o = 0; o < outer; ++o)
    for (std::int64_t i = 0; i < new_length; ++i)
      for (std::int64_t k = 0; k < inner; ++k) {
        double sum = 0, weights = 0;
        for (std::int64_t j = 0; j < length; ++j) {
          const double weight = keys_weight(static_cast<double>(j), static_cast<double>(i), scale);
          sum += weight * values[(o * length + j) * inner + k];
          weights += weight;
        }
        result.push_back(sum / weights);
      }
  return result;
}

TEST(ResizeBicubic, IsWithinOneOfPlainLoops) {
  std::mt19937 random(7);
  std::uniform_int_distribution<std::int64_t> side(1, 60);
  for (std::uint32_t i = 0; i < 60; ++i) {
    const ImageSize from{side(random), side(random)}, to{side(random), side(random)};
    SCOPED_TRACE(testing::Message() << from.width << "×" << from.height << " to " << to.width << "×" << to.height);
    RgbImage image = noise(from, i);
    // Half the contrast: no overshoot is cut off between the passes, so their order does not count.
    for (std::uint8_t& value : image.pixels) value = static_cast<std::uint8_t>(64 + value / 2);
    const std::vector<double> values(image.pixels.begin(), image.pixels.end());
    const std::vector<double> wide = naive_axis(values, from.height, from.width, 3, to.width);
    const std::vector<double> expected = naive_axis(wide, 1, from.height, to.width * 3, to.height);
    const Bytes found = resize_bicubic(image, to).pixels;
    ASSERT_EQ(found.size(), expected.size());
    long worst = 0;
    for (std::size_t p = 0; p < found.size(); ++p)
      worst = std::max(worst, std::abs(found[p] - std::lround(expected[p])));
    EXPECT_LE(worst, 1);
  }
}

TEST(ResizeBicubic, LeavesItsOwnSizeAlone) {
  const RgbImage image = noise({37, 23}, 1);
  EXPECT_EQ(resize_bicubic(image, {37, 23}).pixels, image.pixels);
}

TEST(ResizeBicubic, RefusesWhatIsNoPicture) {
  RgbImage image = noise({4, 2}, 1);
  EXPECT_EQ(refusal(ErrorKind::bad_input,
                    [&] {
                      resize_bicubic(image, {0, 3});
                    }),
            "a picture of 4×2 pixels (width × height) and 24 values cannot be resized to 0×3");
  image.pixels.pop_back();
  EXPECT_EQ(refusal(ErrorKind::bad_input,
                    [&] {
                      resize_bicubic(image, {2, 2});
                    }),
            "a picture of 4×2 pixels (width × height) and 23 values cannot be resized to 2×2");
}

struct PngFile {
  int colour_type, bits;
  ImageSize size;
  Bytes rows;
  std::vector<png_color> palette = {};
  bool interlaced = false;
  double gamma = 0;       ///< of a gAMA chunk
  std::string exif = {};  ///< of an eXIf chunk
};

/// The bytes of a file that libpng writes; without `rows`, its data is empty.
std::string encoded(const PngFile& picture) {
  std::string bytes;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  png_set_write_fn(
      png, &bytes,
      [](png_structp writer, png_bytep data, std::size_t count) {
        static_cast<std::string*>(png_get_io_ptr(writer))->append(reinterpret_cast<const char*>(data), count);
      },
      nullptr);
  png_set_IHDR(png, info, static_cast<png_uint_32>(picture.size.width), static_cast<png_uint_32>(picture.size.height),
               picture.bits, picture.colour_type, picture.interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  if (!picture.palette.empty())
    png_set_PLTE(png, info, picture.palette.data(), static_cast<int>(picture.palette.size()));
  if (picture.gamma > 0) png_set_gAMA(png, info, picture.gamma);
  std::string exif = picture.exif;
  if (!exif.empty())
    png_set_eXIf_1(png, info, static_cast<png_uint_32>(exif.size()), reinterpret_cast<png_bytep>(exif.data()));
  png_write_info(png, info);
  if (picture.rows.empty()) {
    png_write_chunk(png, reinterpret_cast<png_const_bytep>("IDAT"), nullptr, 0);
  } else {
    const std::size_t stride = picture.rows.size() / static_cast<std::size_t>(picture.size.height);
    std::vector<png_bytep> rows;
    for (std::int64_t y = 0; y < picture.size.height; ++y)
      rows.push_back(const_cast<png_bytep>(&picture.rows[static_cast<std::size_t>(y) * stride]));
    png_write_image(png, rows.data());
    png_write_end(png, nullptr);
  }
  png_destroy_write_struct(&png, &info);
  return bytes;
}

RgbImage round_trip(const PngFile& picture) {
  const TemporaryFolder folder;
  write_bytes(folder / "picture", encoded(picture));
  return read_image(folder / "picture");
}

TEST(PngFiles, EveryColourTypeBecomesRgb) {
  const RgbImage rgb =
      round_trip({.colour_type = PNG_COLOR_TYPE_RGB, .bits = 8, .size = {2, 1}, .rows = {1, 2, 3, 250, 128, 7}});
  EXPECT_EQ(rgb.width, 2);
  EXPECT_EQ(rgb.height, 1);
  EXPECT_EQ(rgb.pixels, (Bytes{1, 2, 3, 250, 128, 7}));
  const auto pixels = [](int colour_type, int bits, ImageSize size, const Bytes& rows,
                         const std::vector<png_color>& palette = {}) {
    return round_trip({.colour_type = colour_type, .bits = bits, .size = size, .rows = rows, .palette = palette})
        .pixels;
  };
  // The colours under full and half transparency stay.
  EXPECT_EQ(pixels(PNG_COLOR_TYPE_RGBA, 8, {1, 2}, {10, 20, 30, 0, 40, 50, 60, 128}), (Bytes{10, 20, 30, 40, 50, 60}));
  EXPECT_EQ(pixels(PNG_COLOR_TYPE_GRAY, 8, {2, 1}, {9, 200}), (Bytes{9, 9, 9, 200, 200, 200}));
  EXPECT_EQ(pixels(PNG_COLOR_TYPE_GRAY_ALPHA, 8, {2, 1}, {9, 0, 200, 255}), (Bytes{9, 9, 9, 200, 200, 200}));
  EXPECT_EQ(pixels(PNG_COLOR_TYPE_GRAY, 1, {2, 1}, {0b01000000}), (Bytes{0, 0, 0, 255, 255, 255}));
  EXPECT_EQ(pixels(PNG_COLOR_TYPE_GRAY, 2, {2, 1}, {0b01100000}), (Bytes{85, 85, 85, 170, 170, 170}));
  EXPECT_EQ(pixels(PNG_COLOR_TYPE_PALETTE, 8, {3, 1}, {2, 0, 1}, {{1, 2, 3}, {4, 5, 6}, {7, 8, 9}}),
            (Bytes{7, 8, 9, 1, 2, 3, 4, 5, 6}));
  // 16 bits a channel, most significant byte first: the other is dropped, not rounded.
  EXPECT_EQ(pixels(PNG_COLOR_TYPE_RGB, 16, {1, 1}, {17, 255, 128, 0, 254, 200}), (Bytes{17, 128, 254}));
  EXPECT_EQ(pixels(PNG_COLOR_TYPE_GRAY, 16, {1, 1}, {17, 255}), (Bytes{17, 17, 17}));
}

TEST(PngFiles, AStatedGammaIsIgnored) {
  EXPECT_EQ(
      round_trip({.colour_type = PNG_COLOR_TYPE_RGB, .bits = 8, .size = {1, 1}, .rows = {10, 90, 200}, .gamma = 1.0})
          .pixels,
      (Bytes{10, 90, 200}));
}

TEST(PngFiles, InterlacedRowsAreInOrder) {
  const RgbImage image = noise({19, 13}, 3);
  EXPECT_EQ(
      round_trip(
          {.colour_type = PNG_COLOR_TYPE_RGB, .bits = 8, .size = {19, 13}, .rows = image.pixels, .interlaced = true})
          .pixels,
      image.pixels);
}

struct JpegFile {
  J_COLOR_SPACE from, stored;  ///< what the pixels are, what libjpeg turns them into
  int channels;
  ImageSize size;
  Bytes pixels;
  std::string exif;  ///< of an APP1 segment
};

/// The bytes of a file that libjpeg writes, of the best quality and without subsampling.
std::string encoded(const JpegFile& picture) {
  jpeg_compress_struct jpeg{};
  jpeg_error_mgr errors{};
  jpeg.err = jpeg_std_error(&errors);
  jpeg_create_compress(&jpeg);
  unsigned char* buffer = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&jpeg, &buffer, &size);
  jpeg.image_width = static_cast<JDIMENSION>(picture.size.width);
  jpeg.image_height = static_cast<JDIMENSION>(picture.size.height);
  jpeg.input_components = picture.channels;
  jpeg.in_color_space = picture.from;
  jpeg_set_defaults(&jpeg);
  jpeg_set_colorspace(&jpeg, picture.stored);
  jpeg_set_quality(&jpeg, 100, TRUE);
  for (int i = 0; i < jpeg.num_components; ++i) jpeg.comp_info[i].h_samp_factor = jpeg.comp_info[i].v_samp_factor = 1;
  jpeg_start_compress(&jpeg, TRUE);
  if (!picture.exif.empty()) {
    const std::string segment = std::string("Exif\0\0", 6) + picture.exif;
    jpeg_write_marker(&jpeg, JPEG_APP0 + 1, reinterpret_cast<const JOCTET*>(segment.data()),
                      static_cast<unsigned>(segment.size()));
  }
  for (std::int64_t y = 0; y < picture.size.height; ++y) {
    JSAMPROW row = const_cast<JSAMPROW>(&picture.pixels[y * picture.size.width * picture.channels]);
    jpeg_write_scanlines(&jpeg, &row, 1);
  }
  jpeg_finish_compress(&jpeg);
  std::string bytes(reinterpret_cast<const char*>(buffer), size);
  jpeg_destroy_compress(&jpeg);
  std::free(buffer);
  return bytes;
}

/// noise() as an RGB JPEG.
std::string rgb_jpeg(ImageSize size, const std::string& exif = "") {
  return encoded(JpegFile{JCS_RGB, JCS_RGB, 3, size, noise(size, 5).pixels, exif});
}

TEST(JpegFiles, CmykIsInvertedAndLosesItsBlack) {
  // Stored 255 - ink, as Adobe does. Inks 55, 155, 205 of 255 on a white of 128: 128 - 27.6, - 77.8, - 102.9.
  const Bytes colour{200, 100, 50, 128};
  EXPECT_EQ(decode_jpeg(encoded(JpegFile{JCS_CMYK, JCS_CMYK, 4, {1, 1}, colour, ""}), "").image.pixels,
            (Bytes{100, 50, 25}));
  // YCCK of a neutral colour is exact.
  const Bytes grey{200, 200, 200, 128};
  EXPECT_EQ(decode_jpeg(encoded(JpegFile{JCS_CMYK, JCS_YCCK, 4, {1, 1}, grey, ""}), "").image.pixels,
            (Bytes{100, 100, 100}));
}

TEST(JpegFiles, GreyBecomesRgb) {
  const Bytes grey(64, 77);
  EXPECT_EQ(decode_jpeg(encoded(JpegFile{JCS_GRAYSCALE, JCS_GRAYSCALE, 1, {8, 8}, grey, ""}), "").image.pixels,
            Bytes(192, 77));
}

TEST(JpegFiles, AnUnknownRevisionIsNoDamage) {
  const Bytes grey(64, 77);
  std::string bytes = encoded(JpegFile{JCS_GRAYSCALE, JCS_GRAYSCALE, 1, {8, 8}, grey, ""});
  const std::size_t name = bytes.find("JFIF");
  ASSERT_NE(name, std::string::npos);
  bytes[name + 5] = 2;  // the major revision, which is 1
  EXPECT_EQ(decode_jpeg(bytes, "").image.pixels, Bytes(192, 77));
}

TEST(JpegFiles, PaddingAfterTheLastRowIsNoDamage) {
  std::string bytes = rgb_jpeg({7, 5});
  const Bytes expected = decode_jpeg(bytes, "").image.pixels;
  bytes.insert(bytes.size() - 2, std::string(64, '\0'));  // before the end marker
  EXPECT_EQ(decode_jpeg(bytes, "").image.pixels, expected);
}

TEST(JpegFiles, OtherChannelsAreRefused) {
  const std::string bytes = encoded(JpegFile{JCS_UNKNOWN, JCS_UNKNOWN, 2, {1, 1}, {1, 2}, ""});
  EXPECT_EQ(refusal(ErrorKind::bad_input, [&] { decode_jpeg(bytes, "two.jpg"); }),
            "two.jpg: has 2 channels, expected 1 (grey), 3 (colour) or 4 (CMYK)");
}

std::string number(std::uint32_t value, int bytes, bool big_endian) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text.push_back(static_cast<char>(value >> 8 * (big_endian ? bytes - 1 - i : i)));
  return text;
}

/// An EXIF block whose IFD has another entry before one of `tag`.
std::string exif_block(std::uint32_t value, bool big_endian = false, std::uint32_t type = 3, std::uint32_t count = 1,
                       std::uint32_t tag = 0x0112) {
  const auto n = [&](std::uint32_t v, int bytes) { return number(v, bytes, big_endian); };
  const int width = type == 4 ? 4 : 2;
  return std::string(big_endian ? "MM" : "II") + n(42, 2) + n(8, 4) + n(2, 2) +  //
         n(0x010f, 2) + n(2, 2) + n(4, 4) + "abc" + '\0' +                       //
         n(tag, 2) + n(type, 2) + n(count, 4) + n(value, width) + n(0, 4 - width) + n(0, 4);
}

/// The stored picture as Exif 2.32 words it: on which sides of the upright picture row 0 and column 0 lie.
RgbImage placed(const RgbImage& stored, char row_side, char column_side) {
  const bool swapped = row_side == 'l' || row_side == 'r';
  RgbImage upright{.width = swapped ? stored.height : stored.width,
                   .height = swapped ? stored.width : stored.height,
                   .pixels = Bytes(stored.pixels.size())};
  for (std::int64_t row = 0; row < stored.height; ++row)
    for (std::int64_t column = 0; column < stored.width; ++column) {
      const std::int64_t from_row_side = row_side == 't' || row_side == 'l' ? row : stored.height - 1 - row;
      const std::int64_t from_column_side =
          column_side == 't' || column_side == 'l' ? column : stored.width - 1 - column;
      const std::int64_t x = swapped ? from_row_side : from_column_side;
      const std::int64_t y = swapped ? from_column_side : from_row_side;
      for (std::int64_t channel = 0; channel < 3; ++channel)
        upright.pixels[(y * upright.width + x) * 3 + channel] =
            stored.pixels[(row * stored.width + column) * 3 + channel];
    }
  return upright;
}

TEST(Orientation, AllEightInBothFormatsAndByteOrders) {
  const TemporaryFolder folder;
  constexpr ImageSize size{7, 5};
  const RgbImage from_jpeg = decode_jpeg(rgb_jpeg(size), "").image;
  const RgbImage from_png = noise(size, 6);
  constexpr std::array<const char*, 8> kSides{"tl", "tr", "br", "bl", "lt", "rt", "rb", "lb"};
  for (std::uint32_t orientation = 1; orientation <= 8; ++orientation)
    for (const bool big_endian : {false, true}) {
      SCOPED_TRACE(testing::Message() << "orientation " << orientation << (big_endian ? ", MM" : ", II"));
      const std::string exif = exif_block(orientation, big_endian);
      write_bytes(folder / "a", rgb_jpeg(size, exif));
      write_bytes(
          folder / "b",
          encoded(PngFile{
              .colour_type = PNG_COLOR_TYPE_RGB, .bits = 8, .size = size, .rows = from_png.pixels, .exif = exif}));
      const char* sides = kSides[orientation - 1];
      for (const auto& [name, stored] : {std::pair("a", from_jpeg), std::pair("b", from_png)}) {
        const RgbImage expected = placed(stored, sides[0], sides[1]);
        const RgbImage found = read_image(folder / name);
        EXPECT_EQ(found.width, expected.width) << name;
        EXPECT_EQ(found.height, expected.height) << name;
        EXPECT_EQ(found.pixels, expected.pixels) << name;
      }
    }
}

TEST(Orientation, MalformedBlocksAreIgnored) {
  EXPECT_EQ(exif_orientation(exif_block(6)), 6);
  EXPECT_EQ(exif_orientation(exif_block(6, true, 4)), 6);  // as a LONG
  EXPECT_EQ(exif_orientation(exif_block(0)), 1);
  EXPECT_EQ(exif_orientation(exif_block(9)), 1);
  EXPECT_EQ(exif_orientation(exif_block(6, false, 2)), 1);        // as text
  EXPECT_EQ(exif_orientation(exif_block(6, false, 3, 0)), 1);     // no values
  EXPECT_EQ(exif_orientation(exif_block(6, false, 3, 1, 7)), 1);  // another tag
  for (const char* header : {"MM", "IX", "JJ"}) EXPECT_EQ(exif_orientation(header + exif_block(6).substr(2)), 1);
  const std::string whole = exif_block(6);
  std::string wrong = whole;
  wrong[2] = 43;
  EXPECT_EQ(exif_orientation(wrong), 1);
  for (const char* offset : {"\xff\xff\xff\xff", "\xfe\xff\xff\x7f", "\x2a\x00\x00\x00"})
    EXPECT_EQ(exif_orientation(std::string(whole).replace(4, 4, offset, 4)), 1);
  EXPECT_EQ(exif_orientation(std::string(whole).replace(8, 2, "\xff\xff")), 6);  // more entries than there are
  // The value's two bytes end at 32; a block cut before them has none.
  for (std::size_t length = 0; length < whole.size(); ++length)
    EXPECT_EQ(exif_orientation(std::string_view(whole).substr(0, length)), length < 32 ? 1 : 6) << length;

  const RgbImage plain = decode_jpeg(rgb_jpeg({7, 5}), "").image;
  const DecodedImage found = decode_jpeg(rgb_jpeg({7, 5}, whole.substr(0, 20)), "");
  EXPECT_EQ(found.orientation, 1);
  EXPECT_EQ(found.image.pixels, plain.pixels);
}

class RefusedFiles : public testing::Test {
 protected:
  /// How read_image refuses a file of these bytes, without the path and ": ".
  std::string reason(const std::string& bytes) const {
    const auto path = folder_ / "picture";
    write_bytes(path, bytes);
    const std::string message = refusal(ErrorKind::bad_input, [&] { read_image(path); });
    const std::string start = path.string() + ": ";
    EXPECT_TRUE(message.starts_with(start)) << message;
    return message.substr(start.size());
  }

  TemporaryFolder folder_;
};

TEST_F(RefusedFiles, OtherFormats) {
  EXPECT_EQ(reason("not a picture"),
            "begins with the bytes 6e 6f 74 20 61 20 70 69, expected a PNG or JPEG picture; convert it to one of them");
  EXPECT_EQ(reason("GIF8"),
            "begins with the bytes 47 49 46 38, expected a PNG or JPEG picture; convert it to one of "
            "them");
  EXPECT_EQ(reason(""), "is empty, expected a picture");
  EXPECT_EQ(refusal(ErrorKind::bad_input, [&] { read_image(folder_ / "missing.png"); }),
            (folder_ / "missing.png").string() + ": cannot open: No such file or directory");
}

TEST_F(RefusedFiles, CutShort) {
  const std::string png = read_bytes(test::data_path("images/rgb_61x97.png"));
  EXPECT_EQ(reason(png.substr(0, 5000)), "cannot be read as a PNG picture: the file ends early, it was cut short");
  const std::string jpeg = read_bytes(test::data_path("images/jpeg_120x88.jpg"));
  EXPECT_EQ(reason(jpeg.substr(0, 5000)), "cannot be read as a JPEG picture: Premature end of JPEG file");
  const std::string progressive = read_bytes(test::data_path("images/prog_96x64.jpg"));
  EXPECT_EQ(reason(progressive.substr(0, 1500)), "cannot be read as a JPEG picture: Premature end of JPEG file");
}

TEST_F(RefusedFiles, CutAnywhere) {
  const std::string png = encoded(PngFile{.colour_type = PNG_COLOR_TYPE_RGB,
                                          .bits = 8,
                                          .size = {7, 5},
                                          .rows = noise({7, 5}, 1).pixels,
                                          .exif = exif_block(6)});
  const std::string jpeg = rgb_jpeg({7, 5}, exif_block(6));
  EXPECT_NO_THROW(decode_png(png, "whole"));
  EXPECT_NO_THROW(decode_jpeg(jpeg, "whole"));
  for (std::size_t length = 0; length < png.size(); ++length)
    EXPECT_THROW(decode_png(std::string_view(png).substr(0, length), "cut"), Error) << length;
  for (std::size_t length = 0; length < jpeg.size(); ++length)
    EXPECT_THROW(decode_jpeg(std::string_view(jpeg).substr(0, length), "cut"), Error) << length;
}

TEST_F(RefusedFiles, Damaged) {
  std::string png = read_bytes(test::data_path("images/rgb_61x97.png"));
  png[5000] = static_cast<char>(png[5000] ^ 1);
  EXPECT_EQ(reason(png).substr(0, 33), "cannot be read as a PNG picture: ");
  // A marker among the entropy-coded data: libjpeg only warns, and fills the rest with grey.
  std::string jpeg = read_bytes(test::data_path("images/jpeg_120x88.jpg"));
  jpeg.replace(6000, 2, "\xff\xd9");
  EXPECT_EQ(reason(jpeg), "cannot be read as a JPEG picture: Corrupt JPEG data: premature end of data segment");
}

TEST_F(RefusedFiles, RandomDamageIsRefusedOrHarmless) {
  std::mt19937 random(11);
  for (const char* name :
       {"palette_64x100.png", "alpha_70x90.png", "prog_96x64.jpg", "exif6_100x60.jpg", "cmyk_72x72.jpg"}) {
    const std::string whole = read_bytes(test::data_path(std::string("images/") + name));
    const bool png = std::string_view(name).ends_with("png");
    for (int i = 0; i < 200; ++i) {
      std::string bytes = whole;
      for (int k = 0; k < 3; ++k)
        bytes[random() % std::min<std::size_t>(bytes.size(), 2000)] = static_cast<char>(random());
      try {
        const DecodedImage found = png ? decode_png(bytes, name) : decode_jpeg(bytes, name);
        EXPECT_EQ(static_cast<std::int64_t>(found.image.pixels.size()), found.image.width * found.image.height * 3);
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::bad_input) << error.what();
      }
    }
  }
}

TEST_F(RefusedFiles, PicturesTooLargeToDecode) {
  EXPECT_EQ(
      reason(encoded(PngFile{.colour_type = PNG_COLOR_TYPE_RGB, .bits = 8, .size = {1000000, 1000000}, .rows = {}})),
      "is 1000000×1000000 pixels (width × height), 1000000000000 in all, expected at most 178956970; scale the "
      "picture down");
  // A baseline frame header: marker, length, bits, height, width.
  std::string jpeg = rgb_jpeg({7, 5});
  const std::size_t frame = jpeg.find("\xff\xc0");
  ASSERT_NE(frame, std::string::npos);
  jpeg.replace(frame + 5, 4, "\xea\x60\xea\x60");
  EXPECT_EQ(reason(jpeg),
            "is 60000×60000 pixels (width × height), 3600000000 in all, expected at most 178956970; scale the picture "
            "down");
  EXPECT_EQ(
      refusal(ErrorKind::bad_input,
              [] {
                allocate_image({178956971, 1}, "x");
              }),
      "x: is 178956971×1 pixels (width × height), 178956971 in all, expected at most 178956970; scale the picture "
      "down");
}

TEST_F(RefusedFiles, PicturesThatTheModelCannotTake) {
  const auto path = folder_ / "line.png";
  write_bytes(path,
              encoded(PngFile{.colour_type = PNG_COLOR_TYPE_GRAY, .bits = 8, .size = {201, 1}, .rows = Bytes(201)}));
  const ImageConfig config = image_config(4096, 20480);
  EXPECT_EQ(refusal(ErrorKind::bad_input, [&] { read_model_image(path, config, config.max_pixels); }),
            path.string() +
                ": the picture is 201×1 pixels (width × height), expected a longer side of at most 200 "
                "times the shorter");
  EXPECT_EQ(refusal(ErrorKind::usage, [&] { read_model_image(path, config, 4095); }),
            "pictures of at most 4095 pixels are asked for, but the model takes 4096 or more");
}

TEST(ModelImage, TheCallersLimitCounts) {
  const ImageConfig config = image_config(4096, 20480);
  const auto path = test::data_path("images/rgb_80x80.png");
  // 80/32 = 2.5 goes to 2; 64² is allowed by both limits. 120×88 goes to 128×96, which only the first allows.
  EXPECT_EQ(read_model_image(path, config, 4096).width, 64);
  const RgbImage large = read_model_image(test::data_path("images/jpeg_120x88.jpg"), config, 20480);
  const RgbImage small = read_model_image(test::data_path("images/jpeg_120x88.jpg"), config, 8192);
  EXPECT_EQ((ImageSize{large.width, large.height}), (ImageSize{128, 96}));
  EXPECT_EQ((ImageSize{small.width, small.height}), (ImageSize{96, 64}));
}

}  // namespace
}  // namespace q3vl::image_test
