// What a run leaves and tells where the system refuses: full and read-only disks, limits, mount points, other users,
// odd paths, closed streams; and its log, as text and as JSON.
#include <fcntl.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>

#include "support/command_line_test.h"

namespace q3vl::output_test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class Output : public CommandLineTest {
 protected:
  void SetUp() override {
    SynthOptions options = tiny();
    options.model.text.num_hidden_layers = 1;
    options.model.vision.depth = 2;
    options.model.vision.deepstack_visual_indexes = {1};
    make(options);
  }

  CommandResult run(std::vector<std::string> arguments = {"-q"}) const {
    arguments.insert(arguments.begin(), {Q3VL_EXPORT_BINARY, checkpoint_, "-o", out_});
    return run_command(arguments);
  }

  /// A script with the program, the checkpoint and the output as $1, $2 and $3.
  CommandResult shell(const std::string& script) const {
    return run_command({"/bin/sh", "-c", script, "sh", Q3VL_EXPORT_BINARY, checkpoint_, out_});
  }

  /// The same in a mount namespace of its own, with a disk of `size` at $4.
  CommandResult with_disk(const std::string& options, const std::string& script) const {
    const fs::path disk = folder_ / "disk";
    fs::create_directories(disk);
    return run_command({"/usr/bin/unshare", "-m", "/bin/sh", "-c",
                        "mount -t tmpfs -o " + options + " none \"$4\" || exit 99; " + script, "sh", Q3VL_EXPORT_BINARY,
                        checkpoint_, out_, disk});
  }

  static bool may_mount() {
    return run_command({"/usr/bin/unshare", "-m", "/bin/sh", "-c", "mount -t tmpfs none /tmp"}).exit_code == 0;
  }

  bool is_clean() const { return !fs::exists(out_) && !fs::exists(out_.string() + ".partial"); }
};

constexpr const char* kNoMounts = "no disk can be mounted here: this needs root and the right to mount";

TEST_F(Output, AFullDiskIsFoundBefore) {
  if (!may_mount()) GTEST_SKIP() << kNoMounts;
  const CommandResult result = with_disk("size=1m", R"("$1" "$2" -o "$4/out" -q; code=$?; ls -A "$4"; exit $code)");
  EXPECT_EQ(result.exit_code, 5);
  EXPECT_EQ(result.out, "") << "something was left behind";
  EXPECT_THAT(result.err, testing::MatchesRegex("qwen3vl-export: .*/disk/out: the package needs [0-9]+ bytes, but the "
                                                "disk has [0-9]+ free\n"));
}

TEST_F(Output, NoRoomForMoreFilesIsFoundBefore) {
  if (!may_mount()) GTEST_SKIP() << kNoMounts;
  const CommandResult result =
      with_disk("size=64m,nr_inodes=10", R"("$1" "$2" -o "$4/out" -q; code=$?; ls -A "$4"; exit $code)");
  EXPECT_EQ(result.exit_code, 5);
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, HasSubstr("but the disk has room for 7 more (inodes)\n"));
}

/// Two packages do not fit, and the old one is there until the new one is complete.
TEST_F(Output, AFullDiskKeepsTheOldPackage) {
  if (!may_mount()) GTEST_SKIP() << kNoMounts;
  ASSERT_EQ(run().exit_code, 0);
  std::uint64_t bytes = 0;
  for (const auto& [name, contents] : tree(out_)) bytes += (contents.size() + 4095) / 4096 * 4096;
  fs::remove_all(out_);
  const CommandResult result =
      with_disk(fmt::format("size={}", bytes + 8 * 4096),
                R"("$1" "$2" -o "$4/out" -q || exit; cp -r "$4/out" "$3"; "$1" "$2" -o "$4/out" --force -q; code=$?
                   diff -r "$4/out" "$3"; ls -A "$4"; exit $code)");
  EXPECT_EQ(result.exit_code, 5);
  EXPECT_EQ(result.out, "out\n");
  EXPECT_THAT(result.err, HasSubstr("bytes, but the disk has "));
}

TEST_F(Output, AReadOnlyDisk) {
  if (!may_mount()) GTEST_SKIP() << kNoMounts;
  const CommandResult result = with_disk("size=64m,ro", R"("$1" "$2" -o "$4/a/out" -q)");
  EXPECT_EQ(result.exit_code, 5);
  EXPECT_THAT(result.err, EndsWith("/disk/a/out.partial: cannot create the folder: Read-only file system\n"));
}

TEST_F(Output, AMountPointIsRefusedBefore) {
  if (!may_mount()) GTEST_SKIP() << kNoMounts;
  const std::string expected =
      ": is a mount point, and a finished package is put in place by renaming it, which no mount point can be; choose "
      "a "
      "folder inside it, such as ";
  const CommandResult result = with_disk("size=64m", R"("$1" "$2" -o "$4" -q)");
  EXPECT_EQ(result.exit_code, 5);
  EXPECT_THAT(result.err, HasSubstr("/disk" + expected));
  const CommandResult bound =
      with_disk("size=64m", R"(mkdir "$3" "$4/there"; mount --bind "$4/there" "$3"; "$1" "$2" -o "$3" -q)");
  EXPECT_EQ(bound.exit_code, 5);
  EXPECT_THAT(bound.err, HasSubstr("/out" + expected));
  const CommandResult inside = with_disk("size=64m", R"("$1" "$2" -o "$4/package" -q && ls "$4")");
  EXPECT_EQ(inside.exit_code, 0) << inside.err;
  EXPECT_EQ(inside.out, "package\n");
}

TEST_F(Output, ALimitOnFileSizesIsFoundBefore) {
  const CommandResult result = shell(R"(ulimit -f 100; exec "$1" "$2" -o "$3" -q)");  // in blocks of the shell's
  EXPECT_EQ(result.exit_code, 5);
  EXPECT_THAT(result.err, testing::MatchesRegex("qwen3vl-export: .*/out: .*_data needs [0-9]+ bytes, but the limit on "
                                                "the size of a file is (51200|102400) bytes here; raise it .ulimit -f "
                                                "unlimited.\n"));
  EXPECT_TRUE(is_clean());
}

TEST_F(Output, WhatAnotherUserMayNotWrite) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become somebody else";
  ASSERT_EQ(::chmod(folder_.c_str(), 0755), 0);
  for (const auto& entry : fs::directory_iterator(checkpoint_)) ASSERT_EQ(::chmod(entry.path().c_str(), 0444), 0);
  ASSERT_EQ(::chmod(checkpoint_.c_str(), 0555), 0);
  const std::vector<std::string> as_nobody = {"/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"};
  const auto run_as_nobody = [&](const std::vector<std::string>& arguments) {
    std::vector<std::string> all = as_nobody;
    all.insert(all.end(), arguments.begin(), arguments.end());
    return run_command(all);
  };
  if (run_as_nobody({"/usr/bin/test", "-x", Q3VL_EXPORT_BINARY}).exit_code != 0)
    GTEST_SKIP() << "the build folder is closed to other users";
  const CommandResult refused = run_as_nobody({Q3VL_EXPORT_BINARY, checkpoint_, "-o", out_, "-q"});
  EXPECT_EQ(refused.exit_code, 5);
  EXPECT_EQ(refused.err, "qwen3vl-export: " + out_.string() +
                             ".partial: cannot create the folder: Permission denied for user 65534\n");
  const fs::path theirs = folder_ / "theirs";
  fs::create_directory(theirs);
  ASSERT_EQ(::chown(theirs.c_str(), 65534, 65534), 0);
  const CommandResult done = run_as_nobody({Q3VL_EXPORT_BINARY, checkpoint_, "-o", theirs / "out", "-q"});
  EXPECT_EQ(done.exit_code, 0) << done.err;
  struct stat status {};
  for (const auto& entry : fs::recursive_directory_iterator(theirs / "out")) {
    ASSERT_EQ(::lstat(entry.path().c_str(), &status), 0);
    EXPECT_TRUE(S_ISREG(status.st_mode) || (S_ISDIR(status.st_mode) && entry.path().filename() == "onnx"))
        << entry.path();
    EXPECT_EQ(status.st_uid, 65534U) << entry.path();
  }
}

TEST_F(Output, RelativeAndOddPaths) {
  const CommandResult relative = shell(R"sh(cd "$(dirname "$2")" && exec "$1" checkpoint -o out/../out -q)sh");
  EXPECT_EQ(relative.exit_code, 0) << relative.err;
  const auto expected = tree(out_);
  for (const char* name : {"größer 模型", "\xff\xfe not UTF-8", "a\nb", " "}) {
    out_ = folder_ / name;
    const CommandResult result = run({"--log-format", "json"});
    EXPECT_EQ(result.exit_code, 0) << name << result.err;
    EXPECT_EQ(tree(out_), expected) << name;
    std::istringstream lines(result.err);
    for (std::string line; std::getline(lines, line);) EXPECT_TRUE(json::accept(line)) << line;
  }
}

TEST_F(Output, LongNamesAndPaths) {
  out_ = folder_ / std::string(255 - 8, 'n');
  EXPECT_EQ(run().exit_code, 0) << "with .partial it has the 255 bytes that a name may have";
  out_ = folder_ / std::string(255 - 7, 'n');
  const CommandResult name = run();
  EXPECT_EQ(name.exit_code, 5);
  EXPECT_THAT(name.err, EndsWith(": its name is too long: it is made under that name and \".partial\", which has 256 "
                                 "bytes, and the file system takes 255; choose a shorter name\n"));
  out_ = folder_ / std::string(300, 'n');
  EXPECT_THAT(run().err, EndsWith(": cannot find the folder: File name too long\n"));

  fs::path deep = folder_;
  while (deep.string().size() + 202 < PATH_MAX - 60) deep /= std::string(200, 'd');
  out_ = deep / std::string(PATH_MAX - 60 - deep.string().size(), 'o');
  const CommandResult fits = run();
  EXPECT_EQ(fits.exit_code, 0) << fits.err;
  // The folder's own path would do, but not those of the longer names in it.
  out_ = deep / std::string(PATH_MAX - 40 - deep.string().size(), 'o');
  const CommandResult path = run();
  EXPECT_EQ(path.exit_code, 5);
  EXPECT_THAT(path.err, HasSubstr("its path is too long: that of "));
  EXPECT_TRUE(is_clean());
  out_ = deep / std::string(PATH_MAX, 'o');
  EXPECT_EQ(run().exit_code, 5);
}

TEST_F(Output, LinksAndOtherThingsInTheWay) {
  fs::create_symlink("nowhere", out_);
  EXPECT_THAT(run().err, EndsWith("/out: exists and is not a folder\n"));
  fs::remove(out_);
  const fs::path partial = out_.string() + ".partial";
  const fs::path elsewhere = folder_ / "elsewhere";
  fs::create_directory(elsewhere);
  write_bytes(elsewhere / "mine", "precious");
  fs::create_symlink(elsewhere, partial);
  const CommandResult result = run();
  EXPECT_EQ(result.exit_code, 5);
  EXPECT_EQ(result.err, "qwen3vl-export: " + partial.string() +
                            ": is in the way, and not left behind by this program; move it away\n");
  EXPECT_EQ(read_bytes(elsewhere / "mine"), "precious");
  fs::remove(partial);

  // A link that somebody put where a killed run had a file is neither followed nor removed.
  fs::create_directory(partial);
  write_bytes(partial / ".qwen3vl-export-in-progress", R"(["link", "folder/mine"])");
  fs::create_symlink(elsewhere / "mine", partial / "link");
  fs::create_symlink(elsewhere, partial / "folder");
  EXPECT_THAT(run().err, HasSubstr(R"(and it has "folder", "link", which this program did not write)"));
  EXPECT_EQ(read_bytes(elsewhere / "mine"), "precious");
  fs::remove(partial / "link");
  fs::remove(partial / "folder");
  ASSERT_EQ(run().exit_code, 0);
  EXPECT_FALSE(fs::exists(partial));
}

TEST_F(Output, TwoRunsDoNotMeet) {
  const fs::path partial = out_.string() + ".partial";
  const CommandResult result =
      shell(R"(mkdir "$3.partial"; flock "$3.partial/.qwen3vl-export-in-progress" "$1" "$2" -o "$3" -q)");
  EXPECT_EQ(result.exit_code, 5);
  EXPECT_THAT(result.err, EndsWith("/.qwen3vl-export-in-progress: another run is writing it\n"));
  EXPECT_TRUE(fs::exists(partial)) << "it is the other run's";
}

TEST_F(Output, TimesAreThoseOfSourceDateEpoch) {
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{Q3VL_EXPORT_BINARY},
        std::vector<std::string>{Q3VL_EXPORT_BINARY, "extract", "--module", "visual"}}) {
    std::vector<std::string> all = {"/usr/bin/env", "SOURCE_DATE_EPOCH=1700000000"};
    all.insert(all.end(), command.begin(), command.end());
    all.insert(all.end(), {checkpoint_, "-o", out_, "-q"});
    const CommandResult result = run_command(all);
    ASSERT_EQ(result.exit_code, 0) << result.err;
    struct stat status {};
    ASSERT_EQ(::stat(out_.c_str(), &status), 0);
    EXPECT_EQ(status.st_mtim.tv_sec, 1700000000);
    for (const auto& entry : fs::directory_iterator(out_)) {
      ASSERT_EQ(::stat(entry.path().c_str(), &status), 0);
      EXPECT_EQ(status.st_mtim.tv_sec, 1700000000) << entry.path();
      EXPECT_EQ(status.st_mtim.tv_nsec, 0) << entry.path();
    }
    fs::remove_all(out_);
  }
  for (const char* wrong : {"yesterday", "-1", "1.5", "99999999999999999999"}) {
    const CommandResult result = shell(fmt::format(R"(SOURCE_DATE_EPOCH={} exec "$1" "$2" -o "$3" -q)", wrong));
    EXPECT_EQ(result.exit_code, 2) << wrong;
    EXPECT_EQ(result.err, fmt::format("qwen3vl-export: SOURCE_DATE_EPOCH is \"{}\", expected whole seconds since 1970, "
                                      "as in 1700000000\n",
                                      wrong));
    EXPECT_TRUE(is_clean());
  }
}

TEST_F(Output, StandardOutputThatCannotBeWritten) {
  for (const char* command : {"--help", "--version", "plan --help", "plan \"$2\" --json", "plan \"$2\"",
                              "inspect \"$2\"", "inspect \"$2\" --json --tensors"})
    for (const char* stream : {">/dev/full", ">&-"}) {
      const CommandResult result = shell(fmt::format(R"(exec "$1" {} {})", command, stream));
      EXPECT_EQ(result.exit_code, 5) << command << stream;
      EXPECT_THAT(result.err, HasSubstr("qwen3vl-export: standard output: cannot be written")) << command << stream;
    }
}

/// A message that nobody reads is no reason to lose the work, and never gets into a file of the package.
TEST_F(Output, StandardErrorThatNobodyReads) {
  ASSERT_EQ(run().exit_code, 0);
  const auto expected = tree(out_);
  for (const char* stream : {"2>&-", "2>/dev/full", ">&- 2>&- <&-", "2>&1 | true"}) {
    fs::remove_all(out_);
    const CommandResult result = shell(fmt::format(R"("$1" "$2" -o "$3" -v {})", stream));
    EXPECT_EQ(result.exit_code, 0) << stream;
    for (int i = 0; i < 500 && !fs::exists(out_); ++i) ::usleep(10'000);  // a pipeline's code is that of its last part
    EXPECT_EQ(tree(out_), expected) << stream;
  }
}

TEST_F(Output, AHangUpThatIsIgnoredStaysIgnored) {
  const CommandResult result = shell(
      R"(trap "" HUP; "$1" "$2" -o "$3" -q & p=$!; for i in 1 2 3 4 5 6 7 8; do kill -HUP $p; sleep 0.02; done; wait $p)");
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_TRUE(fs::exists(out_ / "manifest.json"));
}

/// What this test knows of JSON Schema: type, required, properties, additionalProperties, enum, oneOf.
bool fits(const json& value, const json& schema) {
  if (schema.contains("enum")) {
    bool found = false;
    for (const json& allowed : schema["enum"]) found = found || allowed == value;
    if (!found) return false;
  }
  if (schema.contains("type")) {
    const std::string type = schema["type"];
    const bool right = type == "object"    ? value.is_object()
                       : type == "string"  ? value.is_string()
                       : type == "integer" ? value.is_number_integer()
                       : type == "number"  ? value.is_number()
                                           : false;
    if (!right) return false;
  }
  const json properties = schema.value("properties", json::object());
  for (const json& key : schema.value("required", json::array()))
    if (!value.contains(key.get<std::string>())) return false;
  if (value.is_object())
    for (const auto& [key, item] : value.items()) {
      if (properties.contains(key) ? !fits(item, properties[key]) : !schema.value("additionalProperties", true))
        return false;
    }
  if (!schema.contains("oneOf")) return true;
  int fitting = 0;
  for (const json& one : schema["oneOf"]) fitting += fits(value, one) ? 1 : 0;
  return fitting == 1;
}

/// The events of a run's log, each held against docs/log.schema.json.
std::vector<json> events(const CommandResult& result) {
  static const json schema = json::parse(read_bytes(fs::path(Q3VL_SOURCE_DIR) / "docs" / "log.schema.json"));
  std::vector<json> events;
  std::istringstream lines(result.err);
  for (std::string line; std::getline(lines, line);) {
    events.push_back(json::parse(line, nullptr, /*allow_exceptions=*/false));
    EXPECT_TRUE(fits(events.back(), schema)) << line;
  }
  EXPECT_TRUE(result.err.empty() || result.err.back() == '\n');
  return events;
}

std::vector<std::string> kinds(const std::vector<json>& events) {
  std::vector<std::string> kinds;
  for (const json& event : events)
    if (kinds.empty() || kinds.back() != event["event"]) kinds.push_back(event["event"]);
  return kinds;
}

TEST_F(Output, TheLogAsJson) {
  const CommandResult exported = run({"--log-format", "json", "-v", "--components", "vision,text"});
  ASSERT_EQ(exported.exit_code, 0) << exported.err;
  EXPECT_EQ(exported.out, "");
  const std::vector<json> told = events(exported);
  EXPECT_THAT(kinds(told), testing::ElementsAre("start", "warning", "detail", "progress", "file", "done"));
  EXPECT_EQ(told.front()["command"], "export");
  std::uint64_t bytes = 0;
  std::size_t files = 0;
  for (const json& event : told)
    if (event["event"] == "file") {
      EXPECT_EQ(event["bytes"], fs::file_size(out_ / event["name"].get<std::string>()));
      bytes += event["bytes"].get<std::uint64_t>();
      ++files;
    }
  EXPECT_EQ(files, tree(out_).size());
  EXPECT_EQ(told.back()["bytes"], bytes);
  EXPECT_EQ(told.back()["files"], files);
  EXPECT_EQ(told.back()["output"], out_.string());

  const auto command = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), Q3VL_EXPORT_BINARY);
    arguments.emplace_back("--log-format=json");
    return run_command(arguments);
  };
  const CommandResult extracted = command({"extract", checkpoint_, "-o", folder_ / "visual", "--module", "visual"});
  EXPECT_THAT(kinds(events(extracted)), testing::ElementsAre("start", "progress", "file", "done"));
  const CommandResult planned = command({"plan", checkpoint_});
  EXPECT_THAT(kinds(events(planned)), testing::ElementsAre("start", "info", "done"));
  EXPECT_NE(planned.out, "");
  const CommandResult inspected = command({"inspect", checkpoint_});
  EXPECT_THAT(kinds(events(inspected)), testing::ElementsAre("start", "done"));
  const CommandResult verified = command({"verify", out_, "--checkpoint", checkpoint_, "--checks", "graph,weights"});
  EXPECT_EQ(verified.exit_code, 0);
  EXPECT_EQ(events(verified).back()["event"], "done");

  // Errors are events, too: of the command line, with -q, and of what is behind a path that is no text.
  const json usage = events(command({"--frobnicate"})).at(0);
  EXPECT_EQ(usage["kind"], "usage");
  EXPECT_EQ(usage["exit_code"], 2);
  const std::vector<json> in_use = events(command({checkpoint_, "-o", out_, "-q"}));
  ASSERT_EQ(in_use.size(), 1U);
  EXPECT_EQ(in_use[0]["kind"], "output");
  EXPECT_EQ(in_use[0]["exit_code"], 5);
  const json odd = events(command({"plan", folder_ / "\xff"})).back();
  EXPECT_EQ(odd["kind"], "bad_input");
  EXPECT_THAT(odd["message"].get<std::string>(), HasSubstr("\xef\xbf\xbd")) << "U+FFFD stands for what is not UTF-8";
  EXPECT_EQ(run_command({Q3VL_EXPORT_BINARY, "--log-format", "xml"}).err,
            "qwen3vl-export: --log-format is \"xml\", expected text or json\n");
}

TEST_F(Output, MessagesHoldNothingThatATerminalObeys) {
  out_ = folder_ / "\033[2J\r\n";
  fs::create_directory(out_);
  write_bytes(out_ / "file", "");
  const CommandResult result = run();
  EXPECT_THAT(result.err, HasSubstr("/\\x1b[2J\\x0d\\x0a: the output folder is not empty"));
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1);
}

/// What the program writes to a terminal.
std::string on_terminal(const std::vector<std::string>& arguments, const std::vector<std::string>& settings) {
  int terminal = -1;
  const pid_t child = ::forkpty(&terminal, nullptr, nullptr, nullptr);
  if (child == 0) {
    ::setenv("TERM", "xterm", 1);
    ::unsetenv("NO_COLOR");
    for (const std::string& setting : settings) ::putenv(const_cast<char*>(setting.c_str()));
    std::vector<char*> argv;
    for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    ::execv(argv[0], argv.data());
    ::_exit(127);
  }
  std::string text;
  std::array<char, 4096> buffer{};
  for (ssize_t count = 0; (count = ::read(terminal, buffer.data(), buffer.size())) > 0;)
    text.append(buffer.data(), static_cast<std::size_t>(count));
  ::close(terminal);
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 0) << text;
  return text;
}

TEST_F(Output, BarsAndColoursAreForTerminals) {
  const std::vector<std::string> command = {Q3VL_EXPORT_BINARY, checkpoint_, "-o", out_, "--force"};
  const std::string color = "\033[32m";  // of "info"
  const std::string bar = "\r\033[K[=";
  const std::string terminal = on_terminal(command, {});
  EXPECT_THAT(terminal, AllOf(HasSubstr(bar), HasSubstr(color)));
  EXPECT_THAT(on_terminal(command, {"NO_COLOR=1"}), AllOf(HasSubstr(bar), Not(HasSubstr("\033[3"))));
  EXPECT_THAT(on_terminal(command, {"TERM=dumb"}), Not(HasSubstr("\033")));
  std::vector<std::string> quiet = command;
  quiet.emplace_back("-q");
  EXPECT_EQ(on_terminal(quiet, {}), "");
  std::vector<std::string> as_json = command;
  as_json.insert(as_json.end(), {"--log-format", "json"});
  EXPECT_THAT(on_terminal(as_json, {}), Not(HasSubstr("\033")));
  const CommandResult piped = run({"--force"});
  EXPECT_THAT(piped.err, AllOf(HasSubstr("info: "), Not(HasSubstr("\033")), Not(HasSubstr("\r"))));
}

TEST_F(Output, AReportIsTheOldOneOrTheNewOne) {
  ASSERT_EQ(run().exit_code, 0);
  const fs::path report = folder_ / "report.html";
  write_bytes(report, "old");
  const fs::path beside = report.string() + ".partial";
  write_bytes(beside, "somebody's");
  const auto before = tree(folder_);
  const auto verify = [&](const std::string& limit) {
    return run_command({"/bin/sh", "-c",
                        limit + R"(exec "$1" verify "$2" --checkpoint "$3" --checks graph -q --report "$4")", "sh",
                        Q3VL_EXPORT_BINARY, out_, checkpoint_, report});
  };
  EXPECT_EQ(verify("ulimit -f 1; ").exit_code, 5);
  EXPECT_EQ(tree(folder_), before);
  ASSERT_EQ(verify("").exit_code, 0);
  EXPECT_THAT(read_bytes(report), StartsWith("<!DOCTYPE html>"));
  EXPECT_EQ(tree(folder_).size(), before.size()) << "something was left behind";
  EXPECT_EQ(read_bytes(beside), "somebody's");
}

}  // namespace
}  // namespace q3vl::output_test
