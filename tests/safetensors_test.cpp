// Checkpoint folders and safetensors headers: what is legal, and the exact words for what is not.
#include <gtest/gtest.h>

#include <chrono>
#include <initializer_list>
#include <thread>
#include <utility>

#include "checkpoint/checkpoint.h"
#include "checkpoint/safetensors_header.h"
#include "support/refusal.h"
#include "support/temporary_folder.h"

namespace q3vl::safetensors_test {
namespace {

namespace fs = std::filesystem;

TEST(SafetensorsHeader, TheTensorsOfAFile) {
  const auto entries = parse_safetensors_header(
      R"({"__metadata__":{"format":"pt"},
          "b":{"dtype":"F32","shape":[2,3],"data_offsets":[6,30]},
          "a":{"dtype":"BF16","shape":[3],"data_offsets":[0,6]},
          "scalar":{"dtype":"F64","shape":[],"data_offsets":[30,38]},
          "empty":{"dtype":"I64","shape":[4,0],"data_offsets":[30,30]}}   )",
      38, "x.safetensors");
  ASSERT_EQ(entries.size(), 4U);
  EXPECT_EQ(entries[0].name, "a");
  EXPECT_EQ(entries[0].type, DataType::bfloat16);
  EXPECT_EQ(entries[1].name, "b");
  EXPECT_EQ(entries[1].shape, (Shape{2, 3}));
  EXPECT_EQ(entries[1].begin, 6U);
  EXPECT_EQ(entries[1].end, 30U);
  EXPECT_EQ(entries[2].name, "empty");
  EXPECT_EQ(entries[3].name, "scalar");
  EXPECT_TRUE(entries[3].shape.empty());
}

TEST(SafetensorsHeader, AFileWithoutTensorsIsLegal) {
  EXPECT_TRUE(parse_safetensors_header("{}", 0, "x").empty());
  EXPECT_TRUE(parse_safetensors_header(R"({"__metadata__":{}})", 0, "x").empty());
  EXPECT_TRUE(parse_safetensors_header(R"({"__metadata__":null})", 0, "x").empty());
}

TEST(SafetensorsHeader, MetadataAreStringsByName) {
  EXPECT_EQ(parse_safetensors_metadata(R"({"__metadata__":{"format":"pt","a":"b"}})", "x"),
            (SafetensorsMetadata{{"a", "b"}, {"format", "pt"}}));
  EXPECT_TRUE(parse_safetensors_metadata("{}", "x").empty());
  EXPECT_EQ(refusal(ErrorKind::bad_input, [] { parse_safetensors_metadata(R"({"__metadata__":{"a":3}})", "x"); }),
            "x: __metadata__.a is 3, expected a string");
}

TEST(SafetensorsHeader, AsTheReferenceAnUnknownKeyOfATensorIsPassedOver) {
  const auto entries =
      parse_safetensors_header(R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"device":"cpu"}})", 4, "x");
  ASSERT_EQ(entries.size(), 1U);
  EXPECT_EQ(entries[0].type, DataType::float32);
}

TEST(SafetensorsHeader, TypesOfTheFormatThatAreNotRead) {
  const auto parse = [](const std::string& dtype, const std::string& shape, int bytes) {
    const std::string end = std::to_string(bytes);
    parse_safetensors_header(
        R"({"w":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":[0,)" + end + "]}}",
        static_cast<std::uint64_t>(bytes), "x");
  };
  // The types of the reference that DataType lacks, and the bytes of 8 elements.
  for (const auto& [dtype, bytes] : std::initializer_list<std::pair<const char*, int>>{{"F4", 4},
                                                                                       {"F6_E2M3", 6},
                                                                                       {"F6_E3M2", 6},
                                                                                       {"F8_E8M0", 8},
                                                                                       {"F8_E4M3FNUZ", 8},
                                                                                       {"F8_E5M2FNUZ", 8},
                                                                                       {"U16", 16},
                                                                                       {"U32", 32},
                                                                                       {"C64", 64},
                                                                                       {"U64", 64}}) {
    EXPECT_EQ(refusal(ErrorKind::unsupported, [&] { parse(dtype, "[2,4]", bytes); }),
              std::string("x: tensor \"w\" has the dtype \"") + dtype +
                  "\", which is not exported; expected bf16, fp16 or fp32 weights");
    const std::string wrong = refusal(ErrorKind::bad_input, [&] { parse(dtype, "[2,4]", bytes + 1); });
    EXPECT_EQ(wrong, std::string("x: tensor \"w\" is ") + dtype + " of shape [2, 4], which needs " +
                         std::to_string(bytes) + " bytes, but its data_offsets hold " + std::to_string(bytes + 1));
  }
  EXPECT_EQ(refusal(ErrorKind::bad_input, [&] { parse("F4", "[3]", 1); }),
            "x: tensor \"w\" is F4 of shape [3], which needs 12 bits, but its data_offsets hold 1");
}

struct BadHeader {
  const char* what;
  const char* json;
  std::uint64_t data_bytes;
  const char* message;
};

void PrintTo(const BadHeader& header, std::ostream* out) {
  *out << header.what;
}

class MalformedHeader : public testing::TestWithParam<BadHeader> {};

TEST_P(MalformedHeader, IsRefused) {
  const BadHeader& bad = GetParam();
  EXPECT_EQ(refusal(ErrorKind::bad_input, [&] { parse_safetensors_header(bad.json, bad.data_bytes, "x"); }),
            bad.message);
}

constexpr const char* kTypes =
    "F32, F16, BF16, F64, I64, I32, I16, I8, U8, BOOL, F8_E4M3, F8_E5M2, F4, F6_E2M3, F6_E3M2, F8_E8M0, F8_E4M3FNUZ, "
    "F8_E5M2FNUZ, U16, U32, C64, U64";

const std::string kUnknownType = std::string(R"(x: tensor "w" has the dtype "F12", expected one of )") + kTypes;
const std::string kLowerCaseType = std::string(R"(x: tensor "w" has the dtype "bf16", expected one of )") + kTypes;

INSTANTIATE_TEST_SUITE_P(
    Safetensors, MalformedHeader,
    testing::Values(
        BadHeader{"no object", "[]", 0, "x: the document is an array, expected an object"},
        BadHeader{"name twice",
                  R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},
                "w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
                  1, "x: header: the key \"w\" stands twice in one object"},
        BadHeader{"entry is no object", R"({"w":7})", 0, "x: w is 7, expected an object"},
        BadHeader{"no dtype", R"({"w":{"shape":[1],"data_offsets":[0,4]}})", 4, "x: w.dtype is missing"},
        BadHeader{"no shape", R"({"w":{"dtype":"F32","data_offsets":[0,4]}})", 4, "x: w.shape is missing"},
        BadHeader{"no offsets", R"({"w":{"dtype":"F32","shape":[1]}})", 4, "x: w.data_offsets is missing"},
        BadHeader{"unknown dtype", R"({"w":{"dtype":"F12","shape":[1],"data_offsets":[0,4]}})", 4,
                  kUnknownType.c_str()},
        BadHeader{"dtype in lower case", R"({"w":{"dtype":"bf16","shape":[1],"data_offsets":[0,2]}})", 2,
                  kLowerCaseType.c_str()},
        BadHeader{"dtype is a number", R"({"w":{"dtype":4,"shape":[1],"data_offsets":[0,4]}})", 4,
                  "x: w.dtype is 4, expected a string"},
        BadHeader{"shape is a number", R"({"w":{"dtype":"F32","shape":1,"data_offsets":[0,4]}})", 4,
                  "x: w.shape is 1, expected an array of integers from 0 to 9223372036854775807"},
        BadHeader{"negative size", R"({"w":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", 4,
                  "x: w.shape holds -1, expected an array of integers from 0 to 9223372036854775807"},
        BadHeader{"fractional size", R"({"w":{"dtype":"F32","shape":[1.0],"data_offsets":[0,4]}})", 4,
                  "x: w.shape holds 1.0, expected an array of integers from 0 to 9223372036854775807"},
        BadHeader{"size beyond 63 bits", R"({"w":{"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,4]}})",
                  4,
                  "x: w.shape holds 18446744073709551615, expected an array of integers from 0 to 9223372036854775807"},
        BadHeader{"product wraps to zero",
                  R"({"w":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0,
                  "x: tensor \"w\" is F32 of shape [4294967296, 4294967296], which needs more than 2^60 bytes, but its "
                  "data_offsets hold 0"},
        BadHeader{"product wraps in the element's width",
                  R"({"w":{"dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,4]}})", 4,
                  "x: tensor \"w\" is F32 of shape [4611686018427387905], which needs more than 2^60 bytes, but its "
                  "data_offsets hold 4"},
        BadHeader{"too few bytes", R"({"w":{"dtype":"F16","shape":[2,3],"data_offsets":[0,10]}})", 10,
                  "x: tensor \"w\" is F16 of shape [2, 3], which needs 12 bytes, but its data_offsets hold 10"},
        BadHeader{"too many bytes", R"({"w":{"dtype":"F16","shape":[],"data_offsets":[0,4]}})", 4,
                  "x: tensor \"w\" is F16 of shape [], which needs 2 bytes, but its data_offsets hold 4"},
        BadHeader{"offsets reversed", R"({"w":{"dtype":"F16","shape":[0],"data_offsets":[4,2]}})", 4,
                  "x: tensor \"w\" has data_offsets [4, 2], expected [begin, end]"},
        BadHeader{"one offset", R"({"w":{"dtype":"F16","shape":[2],"data_offsets":[4]}})", 4,
                  "x: tensor \"w\" has data_offsets [4], expected [begin, end]"},
        BadHeader{"negative offset", R"({"w":{"dtype":"F16","shape":[2],"data_offsets":[-4,0]}})", 4,
                  "x: w.data_offsets holds -4, expected an array of integers from 0 to 9223372036854775807"},
        BadHeader{
            "hole before", R"({"w":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}})", 4,
            "x: tensor \"w\" begins at byte 2, expected 0: tensors must follow each other without holes or overlaps"},
        BadHeader{
            "hole between",
            R"({"v":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},
                "w":{"dtype":"U8","shape":[2],"data_offsets":[3,5]}})",
            5,
            "x: tensor \"w\" begins at byte 3, expected 2: tensors must follow each other without holes or overlaps"},
        BadHeader{
            "overlap",
            R"({"v":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},
                "w":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})",
            6,
            "x: tensor \"w\" begins at byte 2, expected 4: tensors must follow each other without holes or overlaps"},
        BadHeader{
            "the same place twice",
            R"({"v":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},
                "w":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})",
            4,
            "x: tensor \"w\" begins at byte 0, expected 4: tensors must follow each other without holes or overlaps"},
        BadHeader{"data too short", R"({"w":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", 3,
                  "x: holds 3 bytes of tensors, but its header describes 4; the file was cut short or is still being "
                  "downloaded"},
        BadHeader{
            "data too long", R"({"w":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})", 5,
            "x: holds 5 bytes of tensors, but its header describes 4; the bytes after the last tensor belong to none"},
        BadHeader{"metadata are no object", R"({"__metadata__":7})", 0, "x: __metadata__ is 7, expected an object"},
        BadHeader{"metadata are no strings", R"({"__metadata__":{"format":["pt"]}})", 0,
                  "x: __metadata__.format is an array, expected a string"},
        BadHeader{"metadata hold a null", R"({"__metadata__":{"format":null}})", 0,
                  "x: __metadata__.format is null, expected a string"},
        BadHeader{"padded with a line break", "{}  \n", 0,
                  "x: its header ends with the byte 0x0a, expected } and nothing but spaces (0x20) as padding"},
        BadHeader{"padded with a tab", "{}\t", 0,
                  "x: its header ends with the byte 0x09, expected } and nothing but spaces (0x20) as padding"},
        BadHeader{"padded with something else before the spaces", "{}\r  ", 0,
                  "x: its header ends with the byte 0x0d, expected } and nothing but spaces (0x20) as padding"},
        BadHeader{"data without tensors", "{}", 1,
                  "x: holds 1 bytes of tensors, but its header describes 0; the bytes after the last tensor belong to "
                  "none"}));

/// A safetensors file: the length, which may be a lie, the header and the data.
std::string file_bytes(const std::string& header, const std::string& data, std::uint64_t length) {
  std::string prefix(8, '\0');
  for (std::size_t i = 0; i < 8; ++i) prefix[i] = static_cast<char>(length >> (8 * i));
  return prefix + header + data;
}

std::string file_bytes(const std::string& header, const std::string& data) {
  return file_bytes(header, data, header.size());
}

class CheckpointFolder : public testing::Test {
 protected:
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  void write(const std::string& name, const std::string& bytes) const { write_bytes(folder_ / name, bytes); }
  /// Writes the index with this weight_map.
  void write_index(const std::string& weight_map) const {
    write("model.safetensors.index.json", R"({"metadata":{"total_size":1},"weight_map":)" + weight_map + "}");
  }
  void write_shard(const std::string& name, const std::string& tensor) const {
    write(name, file_bytes(R"({")" + tensor + R"(":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}})", "abc"));
  }
  std::string open_refusal() const {
    return refusal(ErrorKind::bad_input, [&] { Checkpoint::open(folder_.path()); });
  }

  TemporaryFolder folder_;
};

TEST_F(CheckpointFolder, OneFileOpens) {
  write("model.safetensors", file_bytes(R"({"w":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}}  )", "abc"));
  const Checkpoint checkpoint = Checkpoint::open(folder_.path());
  ASSERT_EQ(checkpoint.tensors().size(), 1U);
  const TensorInfo& tensor = *checkpoint.find("w");
  std::array<std::byte, 3> bytes{};
  checkpoint.shards()[tensor.shard].read_at(tensor.offset, bytes);
  EXPECT_EQ(bytes, (std::array{std::byte{'a'}, std::byte{'b'}, std::byte{'c'}}));
  EXPECT_EQ(tensor.bytes, 3U);
  EXPECT_EQ(checkpoint.find("v"), nullptr);
  EXPECT_EQ(checkpoint.folder(), folder_.path());
}

TEST_F(CheckpointFolder, ShardsOpen) {
  write_index(R"({"v":"2.safetensors","w":"1.safetensors"})");
  write_shard("1.safetensors", "w");
  write_shard("2.safetensors", "v");
  const Checkpoint checkpoint = Checkpoint::open(folder_.path());
  EXPECT_EQ(checkpoint.shards().size(), 2U);
  EXPECT_EQ(checkpoint.shards()[checkpoint.find("v")->shard].path(), folder_ / "2.safetensors");
  EXPECT_EQ(checkpoint.shards()[checkpoint.find("w")->shard].path(), folder_ / "1.safetensors");
}

TEST_F(CheckpointFolder, AnUnalignedHeaderIsLegal) {
  const std::string header = R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  for (std::size_t spaces = 0; spaces < 8; ++spaces) {
    write("model.safetensors", file_bytes(header + std::string(spaces, ' '), "abcdefgh"));
    const Checkpoint checkpoint = Checkpoint::open(folder_.path());
    const TensorInfo& tensor = *checkpoint.find("w");
    EXPECT_EQ(tensor.offset, 8 + header.size() + spaces);
    std::string bytes(8, '\0');
    checkpoint.shards()[0].read_at(tensor.offset, std::as_writable_bytes(std::span(bytes)));
    EXPECT_EQ(bytes, "abcdefgh");
  }
}

TEST_F(CheckpointFolder, WhatChangesWhileItIsReadIsRefused) {
  write_index(R"({"v":"2.safetensors","w":"1.safetensors"})");
  write_shard("1.safetensors", "w");
  write_shard("2.safetensors", "v");
  const Checkpoint checkpoint = Checkpoint::open(folder_.path());
  EXPECT_NO_THROW(checkpoint.expect_unchanged());
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // the kernel's clock of files ticks slowly
  write_shard("2.safetensors", "v");                           // the very same bytes, but nobody read them as such
  EXPECT_EQ(refusal(ErrorKind::bad_input, [&] { checkpoint.expect_unchanged(); }),
            path("2.safetensors") +
                ": changed while it was read; run again when nothing writes to it, a download or a copy for example");
}

TEST_F(CheckpointFolder, WhatShrinksWhileItIsReadIsRefused) {
  write_shard("model.safetensors", "w");
  const Checkpoint checkpoint = Checkpoint::open(folder_.path());
  const TensorInfo& tensor = *checkpoint.find("w");
  fs::resize_file(folder_ / "model.safetensors", tensor.offset + 1);
  std::array<std::byte, 3> bytes{};
  EXPECT_EQ(refusal(ErrorKind::bad_input, [&] { checkpoint.shards()[0].read_at(tensor.offset, bytes); }),
            path("model.safetensors") + ": ends at byte " + std::to_string(tensor.offset + 1) +
                ", expected 2 bytes more; the file was cut short or changed while it was read");
}

TEST_F(CheckpointFolder, TheLayoutOfHuggingFacesCache) {
  const fs::path blobs = folder_ / "blobs";
  const fs::path snapshot = folder_ / "snapshots/0123abc";
  fs::create_directories(blobs);
  fs::create_directories(snapshot);
  write_shard("blobs/aaaa", "w");
  fs::create_symlink("../../blobs/aaaa", snapshot / "model.safetensors");
  EXPECT_EQ(Checkpoint::open(snapshot).tensors().size(), 1U);
  fs::remove(blobs / "aaaa");
  EXPECT_EQ(refusal(ErrorKind::bad_input, [&] { Checkpoint::open(snapshot); }),
            (snapshot / "model.safetensors").string() +
                ": is a link to ../../blobs/aaaa, which does not exist; the download is incomplete, or the cache that "
                "it leads into was cleaned");
}

TEST_F(CheckpointFolder, ASingleFileAndAnIndexOfOthersAreOneTooMany) {
  write_index(R"({"w":"1.safetensors"})");
  write_shard("1.safetensors", "w");
  write_shard("model.safetensors", "w");
  EXPECT_EQ(open_refusal(),
            path("model.safetensors") +
                ": lies beside model.safetensors.index.json, which does not name it; Hugging Face would "
                "read the one, and the index names others; remove what does not belong there");
  write_index(R"({"w":"model.safetensors"})");
  EXPECT_EQ(Checkpoint::open(folder_.path()).shards().size(), 1U);
}

TEST_F(CheckpointFolder, MissingFiles) {
  EXPECT_EQ(refusal(ErrorKind::bad_input, [&] { Checkpoint::open(folder_ / "none"); }),
            path("none") + ": is not a folder; expected a checkpoint folder with config.json and *.safetensors");
  EXPECT_EQ(
      open_refusal(),
      path("model.safetensors") +
          ": is missing, and so is model.safetensors.index.json; expected a checkpoint in the safetensors format");
  write_index(R"({"v":"1.safetensors","w":"2.safetensors"})");
  write_shard("1.safetensors", "v");
  EXPECT_EQ(open_refusal(), path("2.safetensors") +
                                ": is missing, but model.safetensors.index.json names it; the download is incomplete");
}

TEST_F(CheckpointFolder, BrokenPrefixes) {
  const auto expect = [&](const std::string& bytes, const std::string& message) {
    write("model.safetensors", bytes);
    EXPECT_EQ(open_refusal(), path("model.safetensors") + ": " + message);
  };
  const auto announced = [](const std::string& length, const std::string& size) {
    return "its first 8 bytes announce a header of " + length + " bytes, but the file has " + size +
           " and the format allows 100000000; it is not a safetensors file, or was cut short";
  };
  expect("", "is 0 bytes long, too short for a safetensors file");
  expect("1234567", "is 7 bytes long, too short for a safetensors file");
  expect(std::string(8, '\0'), "its header does not begin with {; it is not a safetensors file");
  expect(file_bytes(" {}", ""), "its header does not begin with {; it is not a safetensors file");
  expect(file_bytes("{}", "", 3), announced("3", "10"));
  expect(std::string(8, '\xff') + "{}", announced("18446744073709551615", "10"));
  expect("version https://git-lfs.github.com/spec/v1\n",
         "is a pointer of Git LFS, not the file itself; fetch the files with git lfs pull");
  expect(file_bytes("{} {}", ""),
         "header: is not valid JSON: parse error at line 1, column 4: syntax error while parsing value - "
         "unexpected '{'; expected end of input");
  expect(file_bytes(std::string("{}\0 ", 4), ""), "header: is not valid JSON: byte 2 is NUL");
}

TEST_F(CheckpointFolder, AHeaderAboveTheFormatsLimit) {
  write("model.safetensors", file_bytes("{}", "", 100'000'001));
  fs::resize_file(folder_ / "model.safetensors", 200'000'000);
  EXPECT_EQ(open_refusal(),
            path("model.safetensors") +
                ": its first 8 bytes announce a header of 100000001 bytes, but the file has 200000000 and the format "
                "allows 100000000; it is not a safetensors file, or was cut short");
}

TEST_F(CheckpointFolder, EveryPossibleTruncationIsRefused) {
  write_shard("model.safetensors", "w");
  const std::string whole = read_bytes(folder_ / "model.safetensors");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    write("model.safetensors", whole.substr(0, size));
    EXPECT_TRUE(open_refusal().starts_with(path("model.safetensors") + ": ")) << size;
  }
  write("model.safetensors", whole.substr(0, whole.size() - 1));
  EXPECT_EQ(open_refusal(), path("model.safetensors") +
                                ": holds 2 bytes of tensors, but its header describes 3; the file was cut "
                                "short or is still being downloaded");
}

TEST_F(CheckpointFolder, IndexesThatDoNotFit) {
  const std::string index = "model.safetensors.index.json";
  write_shard("1.safetensors", "w");
  write_shard("2.safetensors", "v");
  const auto expect = [&](const std::string& weight_map, const std::string& message) {
    write_index(weight_map);
    EXPECT_EQ(open_refusal(), message);
  };
  expect("{}", path(index) + ": weight_map names no tensor");
  expect("[]", path(index) + ": weight_map is an array, expected an object");
  expect(R"({"w":1})", path(index) + ": weight_map.w is 1, expected a string");
  for (const char* name :
       {"../1.safetensors", "/1.safetensors", "a\\\\1.safetensors", "", ".", "..", "1.safetensors\\u0000"})
    expect(R"({"w":")" + std::string(name) + R"("})", path(index) + ": tensor \"w\" is said to be in \"" + name +
                                                          "\", expected a plain file name beside the index");
  expect(R"({"w":"1.safetensors","x":"1.safetensors"})",
         path(index) +
             ": places the tensor \"x\" in 1.safetensors, which does not hold it; the files do not belong together");
  expect(R"({"v":"1.safetensors"})",
         path("1.safetensors") +
             ": holds the tensor \"w\", which model.safetensors.index.json does not list; the files do "
             "not belong together");
  expect(R"({"v":"1.safetensors","w":"2.safetensors"})",
         path("1.safetensors") +
             ": holds the tensor \"w\", which model.safetensors.index.json places in 2.safetensors; the files do "
             "not belong together");
  write(index, "{}");
  EXPECT_EQ(open_refusal(), path(index) + ": weight_map is missing");
  write(index, R"({"weight_map":{"w":"1.safetensors","w":"2.safetensors"}})");
  EXPECT_EQ(open_refusal(), path(index) + ": the key \"w\" stands twice in one object");
}

}  // namespace
}  // namespace q3vl::safetensors_test
