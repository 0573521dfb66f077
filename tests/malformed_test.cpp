// Malformed checkpoints, each with one fault, as the command line meets them: the exit code, the message word for word,
// nothing on standard output, and no file changed. The cases are data: data/malformed/cases.json, explained in
// data/README.md.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <map>
#include <set>
#include <span>
#include <thread>

#include "qwen3vl_export/export.h"
#include "qwen3vl_export/extract.h"
#include "support/command_line_test.h"
#include "support/refusal.h"

namespace q3vl::malformed_test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::size_t kLengthBytes = 8;  // before a safetensors file's header
constexpr const char* kSingleFile = "model.safetensors";

SynthOptions options_of(const std::string& base) {
  SynthOptions options{.model = synth_preset("tiny")};
  if (base == "shards") options.max_shard_bytes = 1'000'000;
  return options;
}

/// A sound checkpoint of that kind, made once.
const fs::path& sound(const std::string& base) {
  static const TemporaryFolder folder;
  static std::map<std::string, fs::path> made;
  const auto [entry, is_new] = made.try_emplace(base, folder / base);
  if (is_new) write_synthetic_checkpoint(options_of(base), entry->second);
  return entry->second;
}

std::uint64_t header_length(const std::string& bytes) {
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), kLengthBytes);
  return length;
}

/// The JSON of a file: all of it, or a safetensors file's header.
std::string json_text(const fs::path& path) {
  const std::string bytes = read_bytes(path);
  return path.extension() == ".safetensors" ? bytes.substr(kLengthBytes, header_length(bytes)) : bytes;
}

/// Replaces it; a header's length and the data behind it stay right.
void replace_json_text(const fs::path& path, const std::string& text) {
  if (path.extension() != ".safetensors") return write_bytes(path, text);
  const std::string bytes = read_bytes(path);
  const std::uint64_t length = text.size();
  std::string prefix(kLengthBytes, '\0');
  std::memcpy(prefix.data(), &length, kLengthBytes);
  write_bytes(path, prefix + text + bytes.substr(kLengthBytes + header_length(bytes)));
}

std::string from_hexadecimal(const std::string& digits) {
  std::string bytes;
  for (std::size_t i = 0; i < digits.size(); i += 2)
    bytes += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  return bytes;
}

std::string repeated(const json& edit) {
  std::string text;
  for (int i = 0; i < edit.value("times", 1); ++i) text += edit.at("to").get<std::string>();
  return text;
}

/// "FILE#POINTER" of an edit's value.
void edit_value(const fs::path& checkpoint, const std::string& place,
                const std::function<void(json&, json::json_pointer)>& edit) {
  const auto hash = place.find('#');
  const fs::path path = checkpoint / place.substr(0, hash);
  json document = json::parse(json_text(path));
  edit(document, json::json_pointer(place.substr(hash + 1)));
  replace_json_text(path, document.dump());
}

void apply(const json& edit, const fs::path& checkpoint) {
  const std::string what = edit.begin().key();
  const auto named = [&](const char* operation) { return edit.contains(operation); };
  const auto path = [&](const char* operation) { return checkpoint / edit.at(operation).get<std::string>(); };
  if (named("set")) {
    edit_value(checkpoint, edit.at("set"),
               [&](json& document, const json::json_pointer& pointer) { document[pointer] = edit.at("to"); });
  } else if (named("remove")) {
    edit_value(checkpoint, edit.at("remove"), [](json& document, const json::json_pointer& pointer) {
      ASSERT_EQ(document.at(pointer.parent_pointer()).erase(pointer.back()), 1U) << pointer;
    });
  } else if (named("rename")) {
    edit_value(checkpoint, edit.at("rename"), [&](json& document, const json::json_pointer& pointer) {
      json& parent = document.at(pointer.parent_pointer());
      parent[edit.at("to").get<std::string>()] = parent.at(pointer.back());
      parent.erase(pointer.back());
    });
  } else if (named("json")) {
    replace_json_text(path("json"), repeated(edit));
  } else if (named("append")) {
    replace_json_text(path("append"), json_text(path("append")) + repeated(edit));
  } else if (named("replace")) {
    std::string text = json_text(path("replace"));
    const auto from = edit.at("from").get<std::string>();
    ASSERT_NE(text.find(from), std::string::npos) << from;
    replace_json_text(path("replace"), text.replace(text.find(from), from.size(), repeated(edit)));
  } else if (named("bytes")) {
    std::string bytes = read_bytes(path("bytes"));
    const std::string to = from_hexadecimal(edit.at("to"));
    const std::size_t at = edit.at("at") == "end" ? bytes.size() : edit.at("at").get<std::size_t>();
    bytes.resize(std::max(bytes.size(), at + to.size()));
    write_bytes(path("bytes"), bytes.replace(at, to.size(), to));
  } else if (named("cut")) {
    fs::resize_file(path("cut"), fs::file_size(path("cut")) - edit.at("by").get<std::uint64_t>());
  } else if (named("write")) {
    write_bytes(path("write"), repeated(edit));
  } else if (named("copy")) {
    fs::copy_file(path("copy"), checkpoint / edit.at("to").get<std::string>());
  } else if (named("delete")) {
    ASSERT_TRUE(fs::remove(path("delete")));
  } else if (named("link")) {
    fs::remove(path("link"));
    fs::create_symlink(edit.at("to").get<std::string>(), path("link"));
  } else if (named("folder")) {
    fs::remove(path("folder"));
    fs::create_directory(path("folder"));
  } else if (named("pipe")) {
    fs::remove(path("pipe"));
    ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  } else if (named("socket")) {
    fs::remove(path("socket"));
    ASSERT_EQ(::mknod(path("socket").c_str(), S_IFSOCK | 0600, 0), 0);
  } else {
    FAIL() << "no such edit: " << what;
  }
}

std::vector<json> all_cases() {
  return json::parse(read_bytes(fs::path(Q3VL_TEST_DATA_DIR) / "malformed/cases.json"));
}

/// Whatever lies in `folder`: files with their bytes, links with where they lead, of others that they are there.
std::map<std::string, std::string> everything_in(const fs::path& folder) {
  std::map<std::string, std::string> entries;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
    const fs::file_type type = entry.symlink_status().type();
    std::string& contents = entries[fs::relative(entry.path().parent_path(), folder) / entry.path().filename()];
    if (type == fs::file_type::regular) contents = read_bytes(entry.path());
    if (type == fs::file_type::symlink) contents = "-> " + fs::read_symlink(entry.path()).string();
  }
  return entries;
}

std::string with_path(std::string message, const fs::path& checkpoint) {
  constexpr std::string_view kPlaceholder = "{c}";
  for (auto at = message.find(kPlaceholder); at != std::string::npos; at = message.find(kPlaceholder))
    message.replace(at, kPlaceholder.size(), checkpoint.string());
  return message;
}

class Malformed : public testing::TestWithParam<json> {};

TEST_P(Malformed, IsRefused) {
  const json& item = GetParam();
  const TemporaryFolder folder;
  const fs::path checkpoint = folder / "c";
  const fs::path out = folder / "out";
  fs::copy(sound(item.value("base", "tiny")), checkpoint, fs::copy_options::recursive);
  for (const json& edit : item.at("edits")) ASSERT_NO_FATAL_FAILURE(apply(edit, checkpoint)) << edit;
  const auto before = everything_in(folder.path());

  std::vector<std::string> command = {Q3VL_EXPORT_BINARY, checkpoint.string(), "-o", out.string(), "-q"};
  if (item.value("command", "plan") == "plan") command.insert(command.begin() + 1, "plan");
  const CommandResult result = run_command(command);
  EXPECT_EQ(result.exit_code, item.at("exit"));
  EXPECT_EQ(result.err, "qwen3vl-export: " + with_path(item.at("message"), checkpoint) + "\n");
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(everything_in(folder.path()), before);
}

INSTANTIATE_TEST_SUITE_P(Checkpoint, Malformed, testing::ValuesIn(all_cases()), [](const auto& tested) {
  std::string name = tested.param.at("name");
  std::ranges::replace_if(
      name, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
  return name;
});

TEST(MalformedCases, AreManyAndEachAnother) {
  std::set<std::string> names;
  std::set<json> edits;
  for (const json& item : all_cases()) {
    EXPECT_TRUE(names.insert(item.at("name")).second) << item.at("name");
    EXPECT_TRUE(edits.insert(json::array({item.at("edits"), item.value("base", "tiny")})).second) << item.at("name");
  }
  fmt::print("{} malformed checkpoints\n", names.size());
  EXPECT_GE(names.size(), 90U);
}

TEST(MalformedCases, StartFromSoundCheckpoints) {
  for (const char* base : {"tiny", "shards"}) {
    const CommandResult result = run_command({Q3VL_EXPORT_BINARY, "plan", sound(base).string(), "-q"});
    EXPECT_EQ(result.exit_code, 0) << result.err;
  }
  EXPECT_GT(std::distance(fs::directory_iterator(sound("shards")), {}),
            std::distance(fs::directory_iterator(sound("tiny")), {}) + 2);
}

class MalformedInput : public CommandLineTest {};

// 100 MB of what takes the most memory for its size, read up to the limit of values.
TEST_F(MalformedInput, AHeaderThatSwellsTakesLimitedMemory) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizer's own memory hides the program's";
#endif
  make(tiny());
  std::string header = "{\"w\":[";
  while (header.size() < 99'999'990) header += "{},";
  replace_json_text(checkpoint_ / kSingleFile, header);
  expect_refused({Q3VL_EXPORT_BINARY, "plan", c()}, 3,
                 c(kSingleFile) + ": header: holds more than 4000000 values, the most that such a file may");
  rusage usage{};
  ASSERT_EQ(::getrusage(RUSAGE_CHILDREN, &usage), 0);
  EXPECT_LT(usage.ru_maxrss, 1'000'000) << "KiB at the largest of all runs so far";
}

TEST_F(MalformedInput, AFileThatMayNotBeReadIsNamed) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may read every file";
  make(tiny());
  fs::permissions(checkpoint_ / kSingleFile, fs::perms::none);
  const CommandResult result = run_command({Q3VL_EXPORT_BINARY, "plan", c()});
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_EQ(result.err, "qwen3vl-export: " + c(kSingleFile) + ": cannot open: Permission denied for user " +
                            std::to_string(::geteuid()) + "\n");
}

/// A cache of Hugging Face's: the snapshot's files are links to blobs named by their hashes.
TEST_F(MalformedInput, ACacheOfLinksIsExportedLikeAFolderOfFiles) {
  SynthOptions options = tiny();
  options.max_shard_bytes = 1'000'000;
  make(options);
  const auto run = [&](const fs::path& checkpoint) {
    const CommandResult result = run_command({Q3VL_EXPORT_BINARY, checkpoint.string(), "-o", out_.string(), "-q"});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    const auto files = tree(out_);
    fs::remove_all(out_);
    return files;
  };
  const auto expected = run(checkpoint_);
  const fs::path cache = folder_ / "models--Qwen--Qwen3-VL";
  const fs::path snapshot = cache / "snapshots/0123456789abcdef";
  fs::create_directories(cache / "blobs");
  fs::create_directories(snapshot);
  int hash = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(checkpoint_)) {
    const std::string blob = fmt::format("{:064x}", ++hash);
    fs::copy_file(entry.path(), cache / "blobs" / blob);
    fs::create_symlink("../../blobs/" + blob, snapshot / entry.path().filename());
  }
  EXPECT_EQ(run(snapshot), expected);
}

/// The header's length decides where the data begin; formats do not ask that this be a multiple of anything.
TEST_F(MalformedInput, UnalignedDataAreExportedToTheSameBytes) {
  make(tiny());
  const auto graphs_and_data = [&] {
    const CommandResult result = run_command({Q3VL_EXPORT_BINARY, c(), "-o", out_.string(), "-q"});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    auto files = tree(out_);
    std::erase_if(files, [](const auto& file) { return file.first.find(".onnx") == std::string::npos; });
    fs::remove_all(out_);
    return files;
  };
  const auto aligned = graphs_and_data();
  EXPECT_EQ(aligned.size(), 7U);
  const std::string header = json_text(checkpoint_ / kSingleFile);
  for (const std::size_t spaces : {1U, 2U, 4U}) {
    replace_json_text(checkpoint_ / kSingleFile, header + std::string(spaces, ' '));
    EXPECT_EQ(graphs_and_data(), aligned) << spaces;
  }
}

/// A checkpoint that changes while it is read. In this process, so that it changes at a known moment.
class ChangingInput : public CommandLineTest {
 protected:
  void SetUp() override {
    make(tiny());
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // the kernel's clock of files ticks slowly
  }

  /// Once, when the first bytes have been read.
  ExportObserver at_first_progress(const std::function<void()>& change) {
    ExportObserver observer;
    observer.progress = [this, change](const auto&) {
      if (!std::exchange(changed_, true)) change();
    };
    return observer;
  }

  void extract(const std::string& module, const ExportObserver& observer) const {
    ExtractRequest request;
    request.checkpoint = checkpoint_;
    request.output = out_;
    request.module = module;
    extract_module(request, observer);
  }

  std::string message() const {
    return c(kSingleFile) +
           ": changed while it was read; run again when nothing writes to it, a download or a copy for example";
  }

  void expect_nothing_left() const {
    EXPECT_TRUE(changed_) << "no progress was told";
    EXPECT_FALSE(fs::exists(out_));
    EXPECT_FALSE(fs::exists(out_.string() + ".partial"));
  }

  bool changed_ = false;
};

TEST_F(ChangingInput, AnExtractionOfItIsRefused) {
  const ExportObserver observer = at_first_progress([&] {
    write_bytes(folder_ / "newer", read_bytes(checkpoint_ / kSingleFile));
    fs::rename(folder_ / "newer", checkpoint_ / kSingleFile);
  });
  EXPECT_EQ(refusal(ErrorKind::bad_input, [&] { extract("visual", observer); }), message());
  expect_nothing_left();
}

TEST_F(ChangingInput, AnExportOfItIsRefused) {
  const ExportObserver observer = at_first_progress([&] {
    std::fstream file(checkpoint_ / kSingleFile, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(-1, std::ios::end);
    file.put('\0');
  });
  ExportRequest request;
  request.checkpoint = checkpoint_;
  request.output = out_;
  EXPECT_EQ(refusal(ErrorKind::bad_input, [&] { export_package(request, observer); }), message());
  expect_nothing_left();
}

TEST_F(ChangingInput, OneThatShrinksIsRefusedWhereItEnds) {
  std::uint64_t end = 0;
  const ExportObserver observer = at_first_progress([&] {
    end = kLengthBytes + header_length(read_bytes(checkpoint_ / kSingleFile));
    fs::resize_file(checkpoint_ / kSingleFile, end);
  });
  const std::string found = refusal(ErrorKind::bad_input, [&] { extract("language_model", observer); });
  EXPECT_TRUE(found.starts_with(c(kSingleFile) + ": ends at byte ")) << found;
  EXPECT_TRUE(found.ends_with("bytes more; the file was cut short or changed while it was read")) << found;
  expect_nothing_left();
}

}  // namespace
}  // namespace q3vl::malformed_test
