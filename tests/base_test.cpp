// The foundations: number formats, JSON, files, shapes, threads.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>
#include <mutex>
#include <random>
#include <set>
#include <thread>

#include "base/data_type.h"
#include "base/file.h"
#include "base/half.h"
#include "base/json.h"
#include "base/parallel.h"
#include "base/sha256.h"
#include "base/shape.h"
#include "support/refusal.h"
#include "support/temporary_folder.h"

namespace q3vl::base_test {
namespace {

namespace fs = std::filesystem;

/// A binary floating-point format by its definition, in arithmetic instead of bits.
struct Format {
  int exponent_bits;
  int fraction_bits;

  int bias() const { return (1 << (exponent_bits - 1)) - 1; }
  int exponent_of(std::uint16_t bits) const { return (bits >> fraction_bits) & ((1 << exponent_bits) - 1); }
  int fraction_of(std::uint16_t bits) const { return bits & ((1 << fraction_bits) - 1); }
  bool is_nan(std::uint16_t bits) const {
    return exponent_of(bits) == (1 << exponent_bits) - 1 && fraction_of(bits) != 0;
  }

  /// The value of a pattern that is no NaN.
  double value(std::uint16_t bits) const {
    const double sign = bits & 0x8000U ? -1 : 1;
    const int exponent = exponent_of(bits);
    if (exponent == (1 << exponent_bits) - 1) return sign * std::numeric_limits<double>::infinity();
    const double fraction = std::ldexp(fraction_of(bits), -fraction_bits);
    return exponent == 0 ? sign * std::ldexp(fraction, 1 - bias()) : sign * std::ldexp(1 + fraction, exponent - bias());
  }

  /// The nearest value, ties to the even fraction; nearbyint rounds so.
  double rounded(float exact) const {
    if (exact == 0 || std::isinf(exact)) return exact;
    int exponent = 0;
    std::frexp(static_cast<double>(exact), &exponent);  // |exact| in [2^(exponent-1), 2^exponent)
    const int lowest = 1 - bias();
    const double quantum = std::ldexp(1, std::max(exponent - 1, lowest) - fraction_bits);
    const double nearest = std::nearbyint(exact / quantum) * quantum;
    const double largest = std::ldexp(2 - std::ldexp(1, -fraction_bits), bias());
    return std::abs(nearest) > largest ? std::copysign(std::numeric_limits<double>::infinity(), exact) : nearest;
  }
};

constexpr Format kFloat16{5, 10};
constexpr Format kBfloat16{8, 7};

/// Every pattern widens to its value; NaNs keep sign and payload.
template <typename Widen>
void expect_widens(const Format& format, Widen widen) {
  for (unsigned pattern = 0; pattern < 0x10000; ++pattern) {
    const auto bits = static_cast<std::uint16_t>(pattern);
    const float wide = widen(bits);
    if (format.is_nan(bits)) {
      const auto wide_bits = std::bit_cast<std::uint32_t>(wide);
      ASSERT_TRUE(std::isnan(wide)) << pattern;
      ASSERT_EQ(wide_bits >> 31, bits >> 15) << pattern;
      ASSERT_EQ((wide_bits & 0x7fffffU) >> (23 - format.fraction_bits),
                static_cast<unsigned>(format.fraction_of(bits)));
    } else {
      ASSERT_EQ(static_cast<double>(wide), format.value(bits)) << pattern;
      ASSERT_EQ(std::signbit(wide), (bits & 0x8000U) != 0) << pattern;
    }
  }
}

template <typename Narrow>
void expect_narrows(const Format& format, Narrow narrow, float value) {
  const std::uint16_t bits = narrow(value);
  if (std::isnan(value)) {
    ASSERT_TRUE(format.is_nan(bits)) << std::hex << bits;
  } else {
    ASSERT_FALSE(format.is_nan(bits)) << value;
    ASSERT_EQ(format.value(bits), format.rounded(value)) << std::hexfloat << value;
  }
  ASSERT_EQ((bits & 0x8000U) != 0, std::signbit(value)) << value;
}

template <typename Narrow, typename Widen>
void expect_conversions(const Format& format, Narrow narrow, Widen widen) {
  expect_widens(format, widen);
  for (unsigned pattern = 0; pattern < 0x10000; ++pattern) {
    const auto bits = static_cast<std::uint16_t>(pattern);
    if (format.is_nan(bits)) continue;
    ASSERT_EQ(narrow(widen(bits)), bits);  // exact there and back
    if (std::isinf(widen(bits))) continue;
    // The tie between this value and the next one away from zero, and its neighbours.
    const auto next = static_cast<std::uint16_t>(bits + 1);
    const double above = std::isinf(format.value(next))
                             ? 2 * format.value(bits) - format.value(static_cast<std::uint16_t>(bits - 1))
                             : format.value(next);
    const auto tie = static_cast<float>((format.value(bits) + above) / 2);
    for (const float direction : {-INFINITY, tie, INFINITY})
      expect_narrows(format, narrow, std::nextafter(tie, direction));
  }
  std::mt19937 random(1);
  for (int i = 0; i < 2'000'000; ++i)
    expect_narrows(format, narrow, std::bit_cast<float>(static_cast<std::uint32_t>(random())));
  using Limits = std::numeric_limits<float>;
  for (const float value : {0.0F, Limits::infinity(), Limits::max(), Limits::min(), Limits::denorm_min(), 65504.0F,
                            65519.996F, 65520.0F, 0x1p-24F, 0x1p-25F, 0x1.000002p-25F, 0x1p-126F, 0x1.fffffep127F,
                            Limits::quiet_NaN(), std::bit_cast<float>(0x7f800001U), std::bit_cast<float>(0x7fffffffU)})
    for (const float sign : {1.0F, -1.0F}) expect_narrows(format, narrow, std::copysign(value, sign));
}

TEST(Half, Float16EqualsItsDefinition) {
  expect_conversions(kFloat16, float32_to_float16, float16_to_float32);
}

TEST(Half, Bfloat16EqualsItsDefinition) {
  expect_conversions(kBfloat16, float32_to_bfloat16, bfloat16_to_float32);
}

TEST(DataTypes, NamesAndWidthsAgree) {
  const std::vector<std::tuple<DataType, const char*, const char*, std::size_t>> rows = {
      {DataType::float32, "float32", "F32", 4},
      {DataType::float16, "float16", "F16", 2},
      {DataType::bfloat16, "bfloat16", "BF16", 2},
      {DataType::float64, "float64", "F64", 8},
      {DataType::int64, "int64", "I64", 8},
      {DataType::int32, "int32", "I32", 4},
      {DataType::int16, "int16", "I16", 2},
      {DataType::int8, "int8", "I8", 1},
      {DataType::uint8, "uint8", "U8", 1},
      {DataType::boolean, "bool", "BOOL", 1},
      {DataType::float8_e4m3, "float8_e4m3", "F8_E4M3", 1},
      {DataType::float8_e5m2, "float8_e5m2", "F8_E5M2", 1}};
  for (const auto& [type, name, stored, bytes] : rows) {
    EXPECT_EQ(name_of(type), name);
    EXPECT_EQ(safetensors_name(type), stored);
    EXPECT_EQ(data_type_from_safetensors(stored), type);
    EXPECT_EQ(size_of(type), bytes);
    EXPECT_EQ(is_weight_type(type),
              type == DataType::float32 || type == DataType::float16 || type == DataType::bfloat16);
  }
  EXPECT_EQ(data_type_from_safetensors("f32"), std::nullopt);
  EXPECT_EQ(data_type_from_safetensors(""), std::nullopt);
}

TEST(Shapes, CountAndText) {
  EXPECT_EQ(element_count({}), 1);
  EXPECT_EQ(element_count({3, 4, 5}), 60);
  EXPECT_EQ(element_count({7, 0, 5}), 0);
  EXPECT_EQ(element_count({INT64_MAX}), INT64_MAX);
  EXPECT_EQ(to_string(Shape{}), "[]");
  EXPECT_EQ(to_string(Shape{2048, 256}), "[2048, 256]");
  EXPECT_EQ(refusal(ErrorKind::bad_input,
                    [] {
                      element_count({1LL << 32, 1LL << 31});
                    }),
            "shape [4294967296, 2147483648] has no element count that fits into 63 bits");
  // 2^32 · 2^32 wraps to 0 in 64 bits.
  EXPECT_EQ(refusal(ErrorKind::bad_input,
                    [] {
                      element_count({1LL << 32, 1LL << 32});
                    }),
            "shape [4294967296, 4294967296] has no element count that fits into 63 bits");
  EXPECT_EQ(refusal(ErrorKind::bad_input,
                    [] {
                      element_count({2, -1});
                    }),
            "shape [2, -1] has no element count that fits into 63 bits");
}

std::string json_refusal(const std::string& text) {
  return refusal(ErrorKind::bad_input, [&] { parse_json(text, "f.json"); });
}

TEST(JsonText, OnlyStrictJsonIsTaken) {
  EXPECT_EQ(parse_json(R"({"a": [1, {"a": 2}], "b": {"a": 3}})", "f.json")["a"][1]["a"], 2);
  EXPECT_EQ(json_refusal(R"({"a": 1, "b": 2, "a": 3})"), "f.json: the key \"a\" stands twice in one object");
  EXPECT_EQ(json_refusal(R"([{"x": {"k": 1, "k": 1}}])"), "f.json: the key \"k\" stands twice in one object");
  EXPECT_EQ(json_refusal(R"({"a\u0062": 1, "ab": 1})"), "f.json: the key \"ab\" stands twice in one object");
  EXPECT_EQ(json_refusal(std::string("{}\0{}", 5)), "f.json: is not valid JSON: byte 2 is NUL");
  EXPECT_EQ(json_refusal(std::string(16, '\0')), "f.json: is not valid JSON: byte 0 is NUL");
  for (const char* text :
       {"", "{", "{} {}", "{\"a\": 1,}", "[1 2]", "// c\n{}", "/* c */ {}", "{'a': 1}", "NaN", "[Infinity]", "[01]",
        "[1e999]", "\"\x80\"", "\"\xc0\xaf\"", "\"\\ud800\"", "\"tab\there\"", "nul"})
    EXPECT_TRUE(json_refusal(text).starts_with("f.json: is not valid JSON: ")) << text;
  EXPECT_EQ(json_refusal("[1, 2"),
            "f.json: is not valid JSON: parse error at line 1, column 6: syntax error while parsing array - unexpected "
            "end of "
            "input; expected ']'");
  EXPECT_EQ(refusal(ErrorKind::usage, [] { parse_json("{", "recipe", ErrorKind::usage); }).substr(0, 8), "recipe: ");
}

TEST(JsonText, IsUtf8WithoutAByteOrderMark) {
  EXPECT_EQ(json_refusal("\xef\xbb\xbf{}"), "f.json: begins with a byte order mark, expected UTF-8 without one");
  // Cut short, an overlong form, half of a surrogate pair, a byte that is none.
  for (const char* bytes : {"\xc3", "\xc0\xaf", "\xed\xa0\x80", "\xff"})
    EXPECT_TRUE(json_refusal("[\"" + std::string(bytes) + "\"]").find("ill-formed UTF-8 byte") != std::string::npos)
        << bytes;
}

TEST(JsonText, ValuesAreCounted) {
  const JsonLimits six{1000, 6};
  const auto parse = [&](const char* text) { return parse_json(text, "f.json", ErrorKind::bad_input, six); };
  EXPECT_NO_THROW(parse(R"({"a": [1, 2], "b": {}, "c": null})"));
  for (const char* seven :
       {"[1,2,3,4,5,6]", "[[],[],[],[],[],[]]", "[{},{},{},{},{},{}]", R"({"a":{"b":[1,2,3]},"c":1})"})
    EXPECT_EQ(refusal(ErrorKind::bad_input, [&] { parse(seven); }),
              "f.json: holds more than 6 values, the most that such a file may");
}

TEST(JsonText, ManyObjectsTakeTimeByTheirNumberAlone) {
  std::string text = "[{}";
  for (int i = 1; i < 900'000; ++i) text += ",{}";
  EXPECT_EQ(parse_json(text + "]", "f.json").size(), 900'000U);  // with the parser's callback: its square
}

TEST(JsonText, MessagesStayShort) {
  EXPECT_LT(json_refusal("[\"" + std::string(1'000'000, 'x') + "\x01\"]").size(), 350U);
}

TEST(JsonText, NestingIsBounded) {
  const auto nested = [](int depth, const std::string& inner) {
    return std::string(static_cast<std::size_t>(depth), '[') + inner +
           std::string(static_cast<std::size_t>(depth), ']');
  };
  EXPECT_NO_THROW(parse_json(nested(64, "1"), "f.json"));
  EXPECT_NO_THROW(parse_json(nested(63, "{\"a\": 1}"), "f.json"));
  EXPECT_EQ(json_refusal(nested(65, "")), "f.json: is nested deeper than 64 levels");
  EXPECT_EQ(json_refusal(nested(64, "{}")), "f.json: is nested deeper than 64 levels");
  EXPECT_EQ(json_refusal(nested(1'000'000, "1")), "f.json: is nested deeper than 64 levels");
}

TEST(JsonObjects, EveryAccessSaysWhatItFoundAndExpected) {
  const auto accents = [](int count) {
    std::string text;
    for (int i = 0; i < count; ++i) text += "\u00e9";
    return text;
  };
  const Json document = parse_json(R"({"n": 5, "big": 18446744073709551615, "f": 2.5, "t": true, "s": "text", "z": null,
      "a": [1, 2], "m": [1, "x"], "w": [1, 18446744073709551615], "o": {"i": "deep"}, "e": [], "h": [0.5, 1],
      "long": "0123456789012345678901234567890123456789012345678901234567890123456789",
      "wide": "a)" + accents(30) + R"("})",
                                   "c.json");
  const JsonObject root(document, "c.json");
  EXPECT_EQ(root.integer("n", 5, 5), 5);
  EXPECT_EQ(root.number("n", 5, 5), 5.0);
  EXPECT_EQ(root.number("f", 0, 3), 2.5);
  EXPECT_TRUE(root.boolean("t"));
  EXPECT_EQ(root.string("s"), "text");
  EXPECT_EQ(root.integers("a", 1, 2), (std::vector<std::int64_t>{1, 2}));
  EXPECT_TRUE(root.integers("e", 1, 2).empty());
  EXPECT_EQ(root.numbers("h", 0.5, 1), (std::vector<double>{0.5, 1}));
  EXPECT_TRUE(root.has("n"));
  EXPECT_FALSE(root.has("z"));
  EXPECT_FALSE(root.has("none"));
  EXPECT_EQ(root.path_of("n"), "n");
  EXPECT_EQ(root.object("o").path_of("i"), "o.i");

  const auto expect = [](const auto& access, const std::string& message) {
    EXPECT_EQ(refusal(ErrorKind::bad_input, access), "c.json: " + message);
  };
  expect([&] { root.integer("none", 1, 9); }, "none is missing");
  expect([&] { root.integer("n", 6, 9); }, "n is 5, expected an integer from 6 to 9");
  expect([&] { root.integer("n", 1, 4); }, "n is 5, expected an integer from 1 to 4");
  expect([&] { root.integer("f", 1, 9); }, "f is 2.5, expected an integer from 1 to 9");
  expect([&] { root.integer("z", 1, 9); }, "z is null, expected an integer from 1 to 9");
  expect([&] { root.integer("big", -9, INT64_MAX); },
         "big is 18446744073709551615, expected an integer from -9 to 9223372036854775807");
  expect([&] { root.integer("t", 0, 1); }, "t is true, expected an integer from 0 to 1");
  expect([&] { root.number("s", 0, 1); }, "s is \"text\", expected a number from 0 to 1");
  expect([&] { root.number("f", 2.6, 3); }, "f is 2.5, expected a number from 2.6 to 3");
  expect([&] { root.number("n", 1e-6, 4); }, "n is 5, expected a number from 1e-06 to 4");
  expect([&] { root.boolean("n"); }, "n is 5, expected true or false");
  expect([&] { root.string("a"); }, "a is an array, expected a string");
  expect([&] { root.string("o"); }, "o is an object, expected a string");
  expect([&] { root.integers("n", 0, 9); }, "n is 5, expected an array of integers from 0 to 9");
  expect([&] { root.integers("m", 0, 9); }, "m holds \"x\", expected an array of integers from 0 to 9");
  expect([&] { root.integers("a", 0, 1); }, "a holds 2, expected an array of integers from 0 to 1");
  expect([&] { root.integers("w", -9, 9); },
         "w holds 18446744073709551615, expected an array of integers from -9 to 9");
  expect([&] { root.numbers("s", 0, 1); }, "s is \"text\", expected an array of numbers from 0 to 1");
  expect([&] { root.numbers("m", 0, 1); }, "m holds \"x\", expected an array of numbers from 0 to 1");
  expect([&] { root.numbers("h", 0, 0.9); }, "h holds 1, expected an array of numbers from 0 to 0.9");
  expect([&] { root.object("a"); }, "a is an array, expected an object");
  expect([&] { root.object("o").integer("i", 0, 1); }, "o.i is \"deep\", expected an integer from 0 to 1");
  expect([&] { root.object("o").object("p"); }, "o.p is missing");
  expect([&] { root.object("o").expect_only({"j", "k"}); }, "o.i is not a known key; known here: j, k");
  expect([&] { root.boolean("long"); },
         "long is \"01234567890123456789012345678901234567890123456789012345..., expected true or false");
  // Cut between characters, not inside one.
  expect([&] { root.boolean("wide"); }, "wide is \"a" + accents(27) + "..., expected true or false");

  EXPECT_EQ(refusal(ErrorKind::usage, [&] { JsonObject(document["a"], "r", "", ErrorKind::usage); }),
            "r: the document is an array, expected an object");
  EXPECT_EQ(refusal(ErrorKind::bad_input, [&] { JsonObject(document["n"], "r", "x.y"); }),
            "r: x.y is 5, expected an object");
}

TEST(JsonFiles, AreReadWhole) {
  const TemporaryFolder folder;
  write_bytes(folder / "f.json", R"({"a": 1})");
  EXPECT_EQ(read_json_file(folder / "f.json")["a"], 1);
  write_bytes(folder / "f.json", "[");
  EXPECT_TRUE(refusal(ErrorKind::bad_input, [&] {
                read_json_file(folder / "f.json");
              }).starts_with((folder / "f.json").string() + ": is not valid JSON: "));
}

TEST(Files, WriteAndReadBack) {
  const TemporaryFolder folder;
  const std::string text = "0123456789";
  File file = File::create(folder / "f");
  file.write_at(4, std::as_bytes(std::span(text)));
  file.resize(20);
  EXPECT_EQ(file.size(), 20U);
  file.finish();
  EXPECT_EQ(read_bytes(folder / "f"), std::string(4, '\0') + text + std::string(6, '\0'));

  const File read = File::open(folder / "f");
  std::array<std::byte, 3> bytes{};
  read.read_at(6, bytes);
  EXPECT_EQ(std::memcmp(bytes.data(), "234", 3), 0);
  EXPECT_EQ(refusal(ErrorKind::bad_input, [&] { read.read_at(18, bytes); }),
            (folder / "f").string() +
                ": ends at byte 20, expected 1 bytes more; the file was cut short or changed while it was read");
  write_text_file(folder / "t", text);
  EXPECT_EQ(read_text_file(folder / "t"), text);
  EXPECT_EQ(read_text_file(folder / "t", 10), text);
  EXPECT_EQ(refusal(ErrorKind::bad_input, [&] { read_text_file(folder / "t", 9); }),
            (folder / "t").string() + ": is 10 bytes long, expected at most 9");
  EXPECT_NO_THROW(sync_folder(folder.path()));
}

/// The disk, and a file system that lives in memory and so has no page cache to spare.
class FileSystems : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(All, FileSystems, testing::Values("", "/dev/shm"),
                         [](const auto& root) { return root.index == 0 ? "Disk" : "Memory"; });

TEST_P(FileSystems, HoldWhatIsWrittenAndReadOnce) {
  const std::string root = *GetParam() == '\0' ? std::filesystem::temp_directory_path().string() : GetParam();
  if (::access(root.c_str(), W_OK) != 0) GTEST_SKIP() << root << " cannot be written here";
  const TemporaryFolder folder{root};
  std::string text(3'000'001, '\0');
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * i % 251);
  File file = File::create(folder / "f");
  file.reserve(text.size() + 10);
  const auto bytes = std::as_bytes(std::span(text));
  file.write_once_at(1'000'001, bytes.subspan(1'000'001));
  file.write_once_at(0, bytes.first(1'000'001));
  file.finish();
  EXPECT_EQ(read_bytes(folder / "f"), text + std::string(10, '\0'));

  const File read = File::open(folder / "f");
  std::string found(text.size() - 7, '\0');
  read.read_once_at(7, std::as_writable_bytes(std::span(found)));
  EXPECT_EQ(found, text.substr(7));
  EXPECT_EQ(
      refusal(ErrorKind::bad_input, [&] { read.read_once_at(text.size(), std::as_writable_bytes(std::span(found))); }),
      (folder / "f").string() +
          ": ends at byte 3000011, expected 2999984 bytes more; the file was cut short or "
          "changed while it was read");
  EXPECT_EQ(refusal(ErrorKind::output, [&] { read.write_once_at(0, bytes.first(5)); }),
            (folder / "f").string() + ": cannot write 5 bytes at byte 0: Bad file descriptor");
}

TEST(Files, RoomIsTakenBeforeItIsFilled) {
  if (::access("/dev/shm", W_OK) != 0) GTEST_SKIP() << "/dev/shm cannot be written here";
  const TemporaryFolder folder{"/dev/shm"};
  File file = File::create(folder / "f");
  file.reserve(1'000'000);
  struct stat status {};
  ASSERT_EQ(::stat((folder / "f").c_str(), &status), 0);
  EXPECT_EQ(status.st_size, 1'000'000);
  EXPECT_GE(status.st_blocks * 512, 1'000'000);
  EXPECT_THAT(
      refusal(ErrorKind::output, [&] { file.reserve(UINT64_C(1) << 50); }),
      testing::MatchesRegex(".*/f: cannot reserve 1125899906842624 bytes: No space left on device; the disk has "
                            "[0-9]+ bytes( and room for [0-9]+ files)? left"));
  EXPECT_NO_THROW(File::create(folder / "empty").reserve(0));
}

TEST(Files, LinksAreFollowedAndTheirFaultsNamed) {
  const TemporaryFolder folder;
  const std::string root = folder.path().string();
  write_bytes(folder / "f", "x");
  std::filesystem::create_symlink("f", folder / "good");
  std::filesystem::create_symlink("../blobs/f", folder / "dangling");
  std::filesystem::create_symlink("loop", folder / "loop");
  EXPECT_EQ(read_text_file(folder / "good"), "x");
  EXPECT_EQ(refusal(ErrorKind::bad_input, [&] { File::open(folder / "dangling"); }),
            root +
                "/dangling: is a link to ../blobs/f, which does not exist; the download is incomplete, or the cache "
                "that it leads into was cleaned");
  EXPECT_EQ(refusal(ErrorKind::bad_input, [&] { File::open(folder / "loop"); }),
            root + "/loop: cannot open: Too many levels of symbolic links");
  for (const char* there : {"f", "good", "dangling", "loop", "."}) EXPECT_TRUE(path_exists(folder / there)) << there;
  for (const char* absent : {"none", "none/f", "f/g"}) EXPECT_FALSE(path_exists(folder / absent)) << absent;
}

TEST(Files, AreHeldAgainstWhatTheyWereWhenOpened) {
  const TemporaryFolder folder;
  const fs::path path = folder / "f";
  const std::string message =
      path.string() +
      ": changed while it was read; run again when nothing writes to it, a download or a copy for example";
  const auto change = [&](const auto& how) {
    write_bytes(path, "0123456789");
    const File file = File::open(path);
    EXPECT_NO_THROW(file.expect_unchanged());
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // the kernel's clock of files ticks slowly
    how();
    EXPECT_EQ(refusal(ErrorKind::bad_input, [&] { file.expect_unchanged(); }), message);
  };
  change([&] { fs::resize_file(path, 9); });
  change([&] { fs::resize_file(path, 11); });
  change([&] { write_bytes(path, "987654321x"); });
  change([&] {  // the same size, and the old time put back
    const auto time = fs::last_write_time(path);
    write_bytes(path, "987654321x");
    fs::last_write_time(path, time);
  });
  change([&] {  // a whole new file under the old name
    write_bytes(folder / "new", "0123456789");
    fs::rename(folder / "new", path);
  });
  change([&] { fs::remove(path); });
}

TEST(Files, ErrorsNameThePathAndTheReason) {
  const TemporaryFolder folder;
  const std::string root = folder.path().string();
  EXPECT_EQ(refusal(ErrorKind::bad_input, [&] { File::open(folder / "none"); }),
            root + "/none: cannot open: No such file or directory");
  EXPECT_EQ(refusal(ErrorKind::bad_input, [&] { File::open(folder.path()); }), root + ": is a folder, expected a file");
  ASSERT_EQ(::mkfifo((root + "/pipe").c_str(), 0600), 0);
  EXPECT_EQ(refusal(ErrorKind::bad_input, [&] { File::open(folder / "pipe"); }),
            root + "/pipe: is a pipe, expected a file");
  EXPECT_EQ(refusal(ErrorKind::bad_input, [&] { File::open("/dev/zero"); }), "/dev/zero: is a device, expected a file");
  write_bytes(folder / "f", "x");
  EXPECT_EQ(refusal(ErrorKind::output, [&] { File::create(folder / "f"); }), root + "/f: cannot create: File exists");
  EXPECT_EQ(refusal(ErrorKind::output, [&] { write_text_file(folder / "f/g", "x"); }),
            root + "/f/g: cannot create: Not a directory");
  EXPECT_EQ(refusal(ErrorKind::output, [&] { sync_folder(folder / "none"); }),
            root + "/none: cannot open: No such file or directory");
  EXPECT_EQ(refusal(ErrorKind::output, [&] { File::create(folder / "huge").resize(UINT64_C(1) << 63); }),
            root + "/huge: cannot set its size to 9223372036854775808 bytes: Invalid argument");
  const std::array<std::byte, 5> bytes{};
  EXPECT_EQ(refusal(ErrorKind::output, [&] { File::open(folder / "f").write_at(0, bytes); }),
            root + "/f: cannot write 5 bytes at byte 0: Bad file descriptor");
}

TEST(ParallelFor, EveryIndexOnceInOrder) {
  for (const int threads : {-3, 0, 1, 2, 7}) {
    std::mutex mutex;
    std::vector<std::size_t> started;
    parallel_for(1000, threads, [&](std::size_t index) {
      const std::lock_guard lock(mutex);
      started.push_back(index);
    });
    if (threads <= 1) {
      EXPECT_TRUE(std::is_sorted(started.begin(), started.end()));
    }
    EXPECT_EQ(std::set(started.begin(), started.end()).size(), 1000U) << threads;
    EXPECT_EQ(started.size(), 1000U) << threads;
  }
  parallel_for(0, 4, [](std::size_t) { FAIL(); });
}

TEST(ParallelFor, UsesTheThreadsItIsGiven) {
  std::atomic<int> inside = 0;
  std::set<std::thread::id> ids;
  std::mutex mutex;
  parallel_for(3, 3, [&](std::size_t) {  // nobody leaves before all three have come
    ++inside;
    while (inside < 3) std::this_thread::yield();
    const std::lock_guard lock(mutex);
    ids.insert(std::this_thread::get_id());
  });
  EXPECT_EQ(ids.size(), 3U);
}

TEST(ParallelFor, NobodyRunsAheadOfTheWindow) {
  for (const std::size_t window : {1U, 2U, 5U}) {
    std::mutex mutex;
    std::set<std::size_t> open;
    std::size_t ended = 0;
    std::size_t furthest = 0;
    const auto work = [&](std::size_t index) {
      {
        const std::lock_guard lock(mutex);
        open.insert(index);
        furthest = std::max(furthest, index - *open.begin());
      }
      if (index % 7 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));
      const std::lock_guard lock(mutex);
      open.erase(index);
      ++ended;
    };
    parallel_for(200, 8, work, window);
    EXPECT_EQ(ended, 200U);
    EXPECT_LT(furthest, window);
  }
  EXPECT_EQ(refusal(ErrorKind::output,
                    [&] {
                      parallel_for(
                          100, 4,
                          [](std::size_t index) {
                            if (index == 3) throw Error(ErrorKind::output, "full");
                          },
                          2);
                    }),
            "full");
}

TEST(ParallelFor, TheFirstExceptionStopsTheHandOut) {
  for (const int threads : {1, 4}) {
    std::atomic<std::size_t> started = 0;
    EXPECT_EQ(refusal(ErrorKind::output,
                      [&] {
                        parallel_for(1'000'000, threads, [&](std::size_t index) {
                          ++started;
                          if (index == 10) throw Error(ErrorKind::output, "full");
                          if (index > 10) std::this_thread::sleep_for(std::chrono::milliseconds(1));
                        });
                      }),
              "full");
    EXPECT_GE(started, 11U);
    EXPECT_LT(started, 500'000U);
  }
}

TEST(ParallelFor, AnInterruptStopsIt) {
  std::size_t started = 0;
  EXPECT_EQ(refusal(ErrorKind::interrupted,
                    [&] {
                      parallel_for(100, 1, [&](std::size_t index) {
                        ++started;
                        if (index == 5) interrupt_requested = true;
                      });
                    }),
            "interrupted; nothing was left behind");
  interrupt_requested = false;
  EXPECT_EQ(started, 6U);
  EXPECT_NO_THROW(throw_if_interrupted());
  EXPECT_GE(available_processors(), 1);
}

// The vectors of FIPS 180-4's examples (https://csrc.nist.gov/projects/cryptographic-standards-and-guidelines).
TEST(Digest, PublishedVectors) {
  EXPECT_EQ(sha256_of(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_of("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  Sha256 pieces;
  const std::string thousand(1000, 'a');
  for (int i = 0; i < 1000; ++i) pieces.update(std::as_bytes(std::span(thousand)));
  EXPECT_EQ(pieces.hex(), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Digest, ZerosAndFiles) {
  const TemporaryFolder folder;
  for (const std::size_t count : {0U, 1U, 4096U, 10'000'000U}) {
    const std::string zeros(count, '\0');
    Sha256 digest;
    digest.update_zeros(count);
    EXPECT_EQ(digest.hex(), sha256_of(zeros)) << count;
    write_bytes(folder / "zeros", zeros);
    EXPECT_EQ(sha256_of_file(folder / "zeros"), sha256_of(zeros)) << count;
  }
}

}  // namespace
}  // namespace q3vl::base_test
