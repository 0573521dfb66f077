// The streaming writer and encoder with many threads at work, over a small checkpoint in memory: the files hold what
// one thread makes of each weight in one go. Under ThreadSanitizer it shows that no two threads meet in them.
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "base/sha256.h"
#include "checkpoint/checkpoint_writing.h"
#include "data/data_writer.h"
#include "data/weight_check.h"
#include "support/refusal.h"
#include "support/temporary_folder.h"

namespace q3vl::data_writer_test {
namespace {

using Bytes = std::vector<std::byte>;

constexpr int kThreads = 8;

/// A tensor in bfloat16 and what a package stores it as: in both files, if it has two forms.
struct TestWeight {
  std::string name;
  std::int64_t rows;
  std::int64_t columns;
  std::vector<Encoding> encodings;
};

Encoding blocks(int bits, const char* quantizer, bool symmetric) {
  return {.format = Encoding::Format::block_quantized,
          .bits = bits,
          .block_size = 32,
          .symmetric = symmetric,
          .quantizer = quantizer};
}

/// Two tensors that are several blocks of the reader, and many that are less than one.
std::vector<TestWeight> test_weights() {
  const Encoding stored{.format = Encoding::Format::stored};
  const Encoding widened{.format = Encoding::Format::float32};
  std::vector<TestWeight> weights = {{"embed", 2100, 1024, {stored, blocks(4, "rtn", true)}},
                                     {"head", 1400, 1536, {widened}}};
  const std::vector<Encoding> all = {stored,
                                     widened,
                                     {.format = Encoding::Format::float16},
                                     blocks(4, "grid", false),
                                     blocks(8, "rtn", true),
                                     {.format = Encoding::Format::w8a8}};
  for (std::size_t i = 0; i < 4 * all.size(); ++i)
    weights.push_back({"layer" + std::to_string(i), 7 + static_cast<std::int64_t>(i), 96, {all[i % all.size()]}});
  return weights;
}

/// A checkpoint whose file has a header and, in the test's hands, the bytes behind it.
class TestCheckpoint {
 public:
  explicit TestCheckpoint(const std::vector<TestWeight>& weights) {
    std::mt19937 random(1);
    std::vector<SafetensorsEntry> entries;
    std::uint64_t end = 0;
    for (const TestWeight& weight : weights) {
      Bytes& bytes = bytes_[weight.name];
      bytes.resize(static_cast<std::size_t>(weight.rows * weight.columns) * 2);
      for (std::size_t i = 0; i < bytes.size(); i += 2) {
        const auto value = static_cast<std::uint16_t>(0x3c00U | (random() & 0x81ffU));  // bfloat16, ±0.008 to ±0.12
        std::memcpy(&bytes[i], &value, 2);
      }
      entries.push_back({weight.name, DataType::bfloat16, {weight.rows, weight.columns}, end, end + bytes.size()});
      end += bytes.size();
    }
    const std::string header = safetensors_header(entries);
    write_bytes(folder_ / "model.safetensors", header);
    std::filesystem::resize_file(folder_ / "model.safetensors", header.size() + end);  // a hole
    checkpoint_.emplace(Checkpoint::open(folder_.path()));
  }

  const Checkpoint& checkpoint() const { return *checkpoint_; }
  Bytes& bytes(const std::string& name) { return bytes_.at(name); }

 private:
  TemporaryFolder folder_;
  std::map<std::string, Bytes> bytes_;
  std::optional<Checkpoint> checkpoint_;
};

/// Rows out of the vector of their tensor.
class MemoryBlock : public WeightBlock {
 public:
  explicit MemoryBlock(TestCheckpoint& from) : from_(from) {}

  void read(const WeightRows& weight, std::int64_t begin, std::int64_t end) override {
    const Bytes& all = from_.bytes(weight.name());
    rows_.assign(all.begin() + begin * weight.columns() * 2, all.begin() + end * weight.columns() * 2);
  }
  std::span<const std::byte> stored() const override { return rows_; }

 private:
  TestCheckpoint& from_;
  Bytes rows_;
};

class DataWriterTest : public testing::Test {
 protected:
  DataWriterTest() {
    // The n-th form of a weight is asked for by the graph of the n-th file.
    for (std::size_t form = 0; form < 2; ++form) {
      for (std::size_t i = 0; i < weights_.size(); ++i) {
        if (form >= weights_[i].encodings.size()) continue;
        const WeightUse use(form == 0 ? Role::mlp_down : Role::lm_head, static_cast<std::int64_t>(i));
        const WeightRequest& request =
            requests_.request(weights_[i].name, {weights_[i].rows, weights_[i].columns}, use);
        for (std::size_t part = 0; part < request.parts.size(); ++part)
          graphs_[form].weight(request.name + "." + std::to_string(part), request.parts[part].type,
                               request.parts[part].shape, request.blob(part));
      }
      layout_.place(graphs_[form], requests_, {.name = form == 0 ? "a.data" : "b.data"});
    }
  }

  /// What is known of a weight's inputs: with an importance that differs from weight to weight.
  InputStatistics statistics(const WeightRequest& request) {
    ++asked_.at(request.name);
    return {.importance =
                std::vector<float>(static_cast<std::size_t>(request.columns), static_cast<float>(request.name.back())),
            .feedback = {},
            .balance = {}};
  }

  WeightSource source() {
    for (const TestWeight& weight : weights_) asked_[weight.name] = 0;
    return {.checkpoint = &checkpoint_.checkpoint(),
            .make_block = [this] { return std::make_unique<MemoryBlock>(checkpoint_); },
            .statistics = [this](const WeightRequest& request) { return statistics(request); }};
  }

  /// The files, each weight encoded as a whole; bytes as they are and bfloat16 made longer are written down here.
  std::map<std::string, Bytes> expected() {
    std::map<std::string, Bytes> files;
    for (const auto& [name, size] : layout_.files()) files[name].resize(size);
    for (const PlacedWeight& placed : layout_.weights()) {
      const WeightRequest& request = *placed.request;
      const Bytes& stored = checkpoint_.bytes(request.name);
      std::vector<Bytes> parts;
      for (const EncodedPart& part : request.parts)
        parts.emplace_back(part.row_bytes * static_cast<std::uint64_t>(request.rows));
      if (request.encoding.format == Encoding::Format::stored) {
        parts[0] = stored;
      } else if (request.encoding.format == Encoding::Format::float32) {
        for (std::size_t i = 0; i < stored.size(); i += 2) std::memcpy(&parts[0][2 * i + 2], &stored[i], 2);
      } else {
        const std::vector<std::span<std::byte>> views(parts.begin(), parts.end());
        encode_rows(request.encoding, {DataType::bfloat16, request.columns, stored}, statistics(request), views);
      }
      for (std::size_t part = 0; part < parts.size(); ++part)
        std::ranges::copy(parts[part],
                          files[placed.file].begin() + static_cast<std::ptrdiff_t>(placed.part_offsets[part]));
    }
    return files;
  }

  void write(
      int threads, const std::function<void(std::uint64_t)>& progress = [](std::uint64_t) {}) {
    DataWriter writer(layout_, out_.path());
    const WrittenData written = writer.write(source(), threads, progress);
    EXPECT_EQ(written.sha256.size(), 2U);
    for (const auto& [file, digest] : written.sha256) EXPECT_EQ(digest, sha256_of(read_bytes(out_ / file))) << file;
  }

  Bytes written(const std::string& file) const {
    const std::string bytes = read_bytes(out_ / file);
    const std::span<const std::byte> view = std::as_bytes(std::span(bytes));
    return {view.begin(), view.end()};
  }

  const std::vector<TestWeight> weights_ = test_weights();
  TestCheckpoint checkpoint_{weights_};
  WeightRequests requests_{
      [this](const std::string& name) -> std::optional<StoredWeight> {
        const TensorInfo* tensor = checkpoint_.checkpoint().find(name);
        return tensor ? std::optional(StoredWeight{tensor->type, tensor->shape}) : std::nullopt;
      },
      [this](const WeightUse& use) {
        return weights_[static_cast<std::size_t>(use.layer)].encodings[use.role == Role::mlp_down ? 0 : 1];
      }};
  Graph graphs_[2] = {Graph("a"), Graph("b")};
  DataLayout layout_;
  TemporaryFolder out_;
  std::map<std::string, std::atomic<int>> asked_;
};

TEST_F(DataWriterTest, WritesWhatOneThreadMakesOfEachWeight) {
  write(kThreads);
  for (const auto& [name, count] : asked_) EXPECT_LE(count, 1) << name << " is asked for once";
  const std::map<std::string, Bytes> files = expected();
  ASSERT_EQ(files.size(), 2U);
  for (const auto& [name, bytes] : files) EXPECT_TRUE(written(name) == bytes) << name;
}

TEST_F(DataWriterTest, TellsTheBytesThatAreDone) {
  std::vector<std::uint64_t> told;  // not guarded: the calls do not overlap
  write(kThreads, [&](std::uint64_t done) { told.push_back(done); });
  std::uint64_t all = 0;
  for (const TestWeight& weight : weights_) all += checkpoint_.bytes(weight.name).size();
  EXPECT_EQ(bytes_to_encode(layout_, checkpoint_.checkpoint()), all);
  EXPECT_GT(told.size(), weights_.size());  // the two large ones come in blocks
  EXPECT_TRUE(std::ranges::is_sorted(told, std::less_equal<>()));
  EXPECT_EQ(told.back(), all);
}

TEST_F(DataWriterTest, CountsWhatIsNotFinite) {
  const std::uint16_t infinity = 0x7f80;
  std::memcpy(&checkpoint_.bytes("head")[2 * (1350 * 1536 + 3)], &infinity, 2);
  std::memcpy(&checkpoint_.bytes("embed")[0], &infinity, 2);  // in two forms, counted once
  DataWriter writer(layout_, out_.path());
  EXPECT_EQ(writer.write(source(), kThreads, [](std::uint64_t) {}).nonfinite,
            (NonfiniteValues{{"embed", 1}, {"head", 1}}));
}

TEST_F(DataWriterTest, PassesAFailedReadOn) {
  class FailingBlock : public WeightBlock {
   public:
    void read(const WeightRows& weight, std::int64_t begin, std::int64_t /*end*/) override {
      throw Error(ErrorKind::bad_input, weight.name() + " fails at " + std::to_string(begin));
    }
    std::span<const std::byte> stored() const override { return {}; }
  };
  WeightSource failing = source();
  failing.make_block = [] { return std::make_unique<FailingBlock>(); };
  DataWriter writer(layout_, out_.path());
  const std::string message =
      refusal(ErrorKind::bad_input, [&] { writer.write(failing, kThreads, [](std::uint64_t) {}); });
  EXPECT_NE(message.find(" fails at "), std::string::npos) << message;
}

TEST_F(DataWriterTest, IsCheckedByAsManyThreads) {
  write(kThreads);
  const auto differences = [&] {
    return weight_differences(layout_, source(), out_.path(), false, kThreads, [](std::uint64_t) {});
  };
  EXPECT_EQ(differences(), std::vector<std::string>());
  std::string bytes = read_bytes(out_ / "b.data");
  bytes[1000] ^= 1;
  write_bytes(out_ / "b.data", bytes);
  const std::vector<std::string> found = differences();
  ASSERT_EQ(found.size(), 1U);
  EXPECT_TRUE(found[0].starts_with("b.data: embed (int4): ")) << found[0];
}

}  // namespace
}  // namespace q3vl::data_writer_test
