// What `cmake --install` and cpack put in place: found, run and linked by others wherever it lies, and its man page and
// completions held against --help.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "support/command.h"
#include "support/temporary_folder.h"

namespace q3vl::install_test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;
using Names = std::set<std::string>;
using Arguments = std::vector<std::string>;

const fs::path kSource = Q3VL_SOURCE_DIR;
const fs::path kBuild = Q3VL_BINARY_DIR;
const fs::path kCheckpoint = kSource / "tests/data/tiny-a/checkpoint";

/// A program of the PATH, or before it the environment's variables: "A=b", "make", ….
CommandResult run(Arguments arguments) {
  arguments.insert(arguments.begin(), "/usr/bin/env");
  return run_command(arguments);
}

CommandResult run_well(const Arguments& arguments) {
  CommandResult result = run(arguments);
  EXPECT_EQ(result.exit_code, 0) << fmt::format("{}\n{}{}", fmt::join(arguments, " "), result.out, result.err);
  return result;
}

bool have(const std::string& program) {
  return run({"sh", "-c", "command -v " + program}).exit_code == 0;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

/// All files and links below a folder, relative to it.
Names files_below(const fs::path& folder) {
  Names names;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder))
    if (!entry.is_directory() || entry.is_symlink()) names.insert(entry.path().lexically_relative(folder).string());
  return names;
}

Names without(Names names, const Names& others) {
  std::erase_if(names, [&](const std::string& name) { return others.contains(name); });
  return names;
}

class Install : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    run_well({"cmake", "--install", kBuild, "--prefix", *folder_ / "first"});
    fs::rename(*folder_ / "first", prefix());  // nothing may remember where it was put
  }
  static void TearDownTestSuite() { delete folder_; }

  static fs::path prefix() { return *folder_ / "moved"; }
  static std::string program() { return prefix() / "bin/qwen3vl-export"; }

  /// "" and every command that --help lists.
  static std::vector<std::string> commands() {
    std::vector<std::string> names = {""};
    bool listed = false;
    const std::regex row("^  qwen3vl-export ([a-z]+) .*");
    for (const std::string& line : lines_of(run_well({program(), "--help"}).out)) {
      if (line.empty()) listed = false;
      std::smatch match;
      if (listed && std::regex_match(line, match, row)) names.push_back(match[1]);
      if (line.starts_with("Commands ")) listed = true;
    }
    EXPECT_GT(names.size(), 1U);
    return names;
  }

  /// "-o", "--output", … of a command, as its --help lists them.
  static Names options(const std::string& command) {
    Arguments arguments = {program(), "--help"};
    if (!command.empty()) arguments.insert(arguments.begin() + 1, command);
    Names names;
    for (const std::string& line : lines_of(run_well(arguments).out)) {
      if (!line.starts_with("  -")) continue;
      std::istringstream list(line.substr(2, line.find(' ', 2) - 2));
      for (std::string name; std::getline(list, name, ',');) names.insert(name);
    }
    EXPECT_TRUE(names.contains("--help")) << command;
    return names;
  }

  static void expect_options(const std::string& where, const std::string& command, const Names& found) {
    const std::string of = command.empty() ? "qwen3vl-export" : "qwen3vl-export " + command;
    EXPECT_THAT(without(options(command), found), IsEmpty())
        << where << " lacks options that " << of << " --help lists";
    EXPECT_THAT(without(found, options(command)), IsEmpty()) << where << " has options that " << of << " --help lacks";
  }

  /// What bash offers for the last word; the words before it stand as typed.
  static Names completed(const std::vector<std::string>& words) {
    const std::string script = prefix() / "share/bash-completion/completions/qwen3vl-export";
    Arguments arguments = {"bash",
                           "--norc",
                           "-c",
                           "source \"$1\" && shift && COMP_WORDS=(\"$@\") COMP_CWORD=$(($# - 1)) && "
                           "_qwen3vl_export && printf '%s\\n' \"${COMPREPLY[@]}\"",
                           "bash",
                           script,
                           "qwen3vl-export"};
    arguments.insert(arguments.end(), words.begin(), words.end());
    const CommandResult result = run_well(arguments);
    EXPECT_EQ(result.err, "");
    const auto lines = lines_of(result.out);
    Names names(lines.begin(), lines.end());
    names.erase("");
    return names;
  }

  static TemporaryFolder* folder_;
};

TemporaryFolder* Install::folder_ = nullptr;

TEST_F(Install, PutsEverythingInItsPlace) {
  const Names files = files_below(prefix());
  const std::string library = fs::path(Q3VL_EXPORT_LIBRARY).filename();  // its soname
  Names expected = {"bin/qwen3vl-export",
                    "lib/" + library,
                    "lib/libqwen3vl_export.so",
                    "lib/qwen3vl-export/qwen3vl-export-c10.so",
                    "lib/qwen3vl-export/qwen3vl-export-torch.so",
                    "lib/qwen3vl-export/qwen3vl-export-chat",
                    "lib/cmake/qwen3vl_export/qwen3vl_exportConfig.cmake",
                    "lib/cmake/qwen3vl_export/qwen3vl_exportConfigVersion.cmake",
                    "share/man/man1/qwen3vl-export.1",
                    "share/bash-completion/completions/qwen3vl-export",
                    "share/zsh/site-functions/_qwen3vl-export",
                    "share/fish/vendor_completions.d/qwen3vl-export.fish"};
  for (const std::string& header : files_below(kSource / "include")) expected.insert("include/" + header);
  for (const fs::directory_entry& recipe : fs::directory_iterator(kSource / "configs/recipes"))
    expected.insert("share/qwen3vl-export/recipes/" + recipe.path().filename().string());
  EXPECT_THAT(without(expected, files), IsEmpty());
}

TEST_F(Install, NamesNoPlaceOfTheBuild) {
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(prefix())) {
    if (!entry.is_regular_file()) continue;
    const std::string bytes = read_bytes(entry.path());
    for (const fs::path& place : {kSource, kBuild, *folder_ / "first"})
      EXPECT_EQ(bytes.find(place.string()), std::string::npos) << entry.path() << " names " << place;
  }
}

TEST_F(Install, RunsWhereItWasMovedTo) {
  EXPECT_THAT(run_well({program(), "--version"}).out, StartsWith("qwen3vl-export "));
  const std::string out = *folder_ / "out";
  run_well({program(), kCheckpoint, "-o", out, "-q"});
  run_well({program(), "check", out, "-q"});
  // By a link, from another folder, with a recipe that was installed.
  const fs::path link = *folder_ / "link";
  fs::create_symlink(program(), link);
  run_well({link, kCheckpoint, "-o", *folder_ / "linked", "--recipe",
            prefix() / "share/qwen3vl-export/recipes/int4.json", "-q"});
  EXPECT_EQ(read_bytes(*folder_ / "linked/onnx/decoder_model_merged.onnx_data"),
            read_bytes(*folder_ / "out/onnx/decoder_model_merged.onnx_data"));
}

TEST_F(Install, FindsOnnxRuntime) {
  const std::string out = *folder_ / "proven";
  run_well({program(), kCheckpoint, "-o", out, "-q"});
  const Arguments verify = {program(), "verify", out, "--checkpoint", kCheckpoint, "--checks", "numerics", "-q"};
  const auto with = [&](const std::string& library) {
    Arguments arguments = {"Q3VL_ONNXRUNTIME_LIBRARY=" + library};
    arguments.insert(arguments.end(), verify.begin(), verify.end());
    return run(arguments);
  };
  const fs::path library = fs::canonical(kBuild / "libonnxruntime.so.1");
  EXPECT_EQ(with(library).exit_code, 0);
  const CommandResult missing = with("/nowhere/libonnxruntime.so");
  EXPECT_EQ(missing.exit_code, 2);
  EXPECT_THAT(missing.err, HasSubstr("ONNX Runtime cannot be opened: /nowhere/libonnxruntime.so"));
  const fs::path beside = prefix() / "lib/qwen3vl-export/libonnxruntime.so.1";
  fs::create_symlink(library, beside);
  EXPECT_EQ(with("").exit_code, 0);
  fs::remove(beside);
}

TEST_F(Install, IsLinkedByOthers) {
  const fs::path source = *folder_ / "other";
  fs::create_directory(source);
  write_bytes(source / "CMakeLists.txt", R"(cmake_minimum_required(VERSION 3.22)
project(other LANGUAGES CXX)
find_package(qwen3vl_export 0.1 REQUIRED)
add_executable(other other.cpp)
target_link_libraries(other PRIVATE qwen3vl_export::qwen3vl_export)
# As a scripting language loads it.
add_library(plugin MODULE other.cpp)
target_link_libraries(plugin PRIVATE qwen3vl_export::qwen3vl_export)
add_executable(host host.cpp)
target_link_libraries(host PRIVATE ${CMAKE_DL_LIBS})
)");
  write_bytes(source / "other.cpp", R"(#include <qwen3vl_export/bench.h>
#include <qwen3vl_export/calibrate.h>
#include <qwen3vl_export/check.h>
#include <qwen3vl_export/export.h>
#include <qwen3vl_export/extract.h>
#include <qwen3vl_export/inspect.h>
#include <qwen3vl_export/plan.h>
#include <qwen3vl_export/verify.h>

#include <iostream>

extern "C" int run(const char* checkpoint, const char* output) {
  q3vl::ExportRequest request;
  request.checkpoint = checkpoint;
  request.output = output;
  const q3vl::PlanReport plan = q3vl::plan_package(request, {});
  std::cout << q3vl::inspect_checkpoint(checkpoint).findings.size() << " findings\n";
  const q3vl::ExportReport report = q3vl::export_package(request, {});
  if (report.files.size() != plan.files.size() || !q3vl::check_folder(output, 1, {}).ok()) return 1;
  try {
    q3vl::export_package(request, {});
  } catch (const q3vl::Error& error) {
    std::cout << error.exit_code() << '\n';
  }
  return 0;
}

int main(int, char** argv) { return run(argv[1], argv[2]); }
)");
  write_bytes(source / "host.cpp", R"(#include <dlfcn.h>

#include <iostream>

int main(int, char** argv) {
  void* plugin = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (plugin == nullptr) {
    std::cerr << dlerror() << '\n';
    return 1;
  }
  return reinterpret_cast<int (*)(const char*, const char*)>(dlsym(plugin, "run"))(argv[2], argv[3]);
}
)");
  const std::string build = source / "build";
  run_well({"cmake", "-S", source, "-B", build, "-DCMAKE_PREFIX_PATH=" + prefix().string()});
  run_well({"cmake", "--build", build, "-j2"});
  EXPECT_EQ(run_well({source / "build/other", kCheckpoint, source / "out"}).out, "0 findings\n5\n");
  EXPECT_EQ(run_well({source / "build/host", source / "build/libplugin.so", kCheckpoint, source / "plugged"}).out,
            "0 findings\n5\n");
  run_well({program(), kCheckpoint, "-o", source / "by_program", "-q"});
  for (const std::string& file : files_below(source / "by_program"))
    for (const char* folder : {"out", "plugged"})
      EXPECT_EQ(read_bytes(source / folder / file), read_bytes(source / "by_program" / file)) << folder << ' ' << file;
}

TEST_F(Install, HelpListsEveryCommand) {
  Names names;
  const std::regex name("\"qwen3vl-export ([a-z]+)\"");
  for (const fs::directory_entry& entry : fs::directory_iterator(kSource / "tools/commands")) {
    const std::string text = read_bytes(entry.path());
    for (std::sregex_iterator match(text.begin(), text.end(), name), end; match != end; ++match)
      names.insert((*match)[1]);
  }
  for (const std::string& command : commands()) names.erase(command);
  EXPECT_THAT(names, IsEmpty()) << "qwen3vl-export --help has no line for these commands";
}

TEST_F(Install, TheManPageIsTrue) {
  std::string section;
  std::map<std::string, Names> found;
  bool entry = false;
  const std::regex option(R"(\\fB(-[^ ]*?)\\fR)");
  for (std::string line : lines_of(read_bytes(prefix() / "share/man/man1/qwen3vl-export.1"))) {
    for (auto at = line.find("\\-"); at != std::string::npos; at = line.find("\\-", at)) line.erase(at, 1);
    if (line.starts_with(".SH ")) section = line == ".SH OPTIONS" ? "" : line;
    if (line.starts_with(".SS ")) section = line.substr(4);
    if (entry)
      for (std::sregex_iterator match(line.begin(), line.end(), option), end; match != end; ++match)
        found[section].insert((*match)[1]);
    entry = line == ".TP";
  }
  for (const std::string& command : commands()) {
    expect_options("the man page", command, found[command]);
    found.erase(command);
  }
  EXPECT_THAT(found, IsEmpty()) << "the man page describes commands that --help lacks";
}

TEST_F(Install, TheManPageIsSet) {
  if (!have("groff")) GTEST_SKIP() << "groff is not here: the man page is not set";
  const CommandResult result = run_well(
      {"groff", "-man", "-ww", "-Tutf8", "-P-cbou", "-rLL=120n", prefix() / "share/man/man1/qwen3vl-export.1"});
  EXPECT_EQ(result.err, "");
  EXPECT_NE(result.out.find("\nSYNOPSIS\n"), std::string::npos);
}

TEST_F(Install, BashCompletesOptions) {
  for (const std::string& command : commands())
    expect_options("bash's completion", command, command.empty() ? completed({"-"}) : completed({command, "-"}));
}

TEST_F(Install, BashCompletesCommandsAndValues) {
  Names names;
  for (const std::string& command : commands()) names.insert(command);
  names.erase("");
  EXPECT_THAT(without(names, completed({""})), IsEmpty());
  EXPECT_EQ(completed({"pla"}), Names{"plan"});

  Names recipes;
  for (const fs::directory_entry& recipe : fs::directory_iterator(kSource / "configs/recipes"))
    recipes.insert(recipe.path().stem());
  EXPECT_THAT(without(recipes, completed({"checkpoint", "--recipe", ""})), IsEmpty());
  EXPECT_EQ(completed({"plan", "--recipe", "w8"}), Names{"w8a8"});
  EXPECT_EQ(completed({"plan", "--recipe", "=", "w8"}), Names{"w8a8"});
  const std::string file = prefix() / "share/qwen3vl-export/recipes/w8a8.json";
  EXPECT_EQ(completed({"--recipe", file.substr(0, file.size() - 3)}), Names{file});

  EXPECT_EQ(completed({"--log-format", ""}), (Names{"text", "json"}));
  EXPECT_EQ(completed({"--log-format", "="}), (Names{"text", "json"}));
  EXPECT_EQ(completed({"--components", "vision,t"}), Names{"vision,text"});
  EXPECT_EQ(completed({"verify", "out", "--checks", "graph,n"}), Names{"graph,numerics"});
  EXPECT_EQ(completed({"extract", "--module", "l"}), Names{"language_model"});
  EXPECT_EQ(completed({"--threads", ""}), Names{}) << "a number";
  const std::string bin = prefix() / "bin";
  EXPECT_EQ(completed({"-o", bin.substr(0, bin.size() - 1)}), Names{bin});
  EXPECT_EQ(completed({"check", bin.substr(0, bin.size() - 1)}), Names{bin});
  EXPECT_EQ(completed({"check", bin + "/q"}), Names{}) << "a package is a folder";
}

/// What "  (plan)" and "set -l commands" mean is zsh's and fish's business; their options stand as literals.
TEST_F(Install, ZshAndFishHaveTheOptions) {
  std::map<std::string, Names> zsh;
  std::string section;
  const std::regex word(R"(^\s+'(?:\*|\([^)]*\))(-[a-z-]+)[=+]?\[.*)");
  for (const std::string& line : lines_of(read_bytes(prefix() / "share/zsh/site-functions/_qwen3vl-export"))) {
    std::smatch match;
    if (std::regex_match(line, match, std::regex(R"(  \(([a-z]+)\))"))) section = match[1];
    if (line == "  esac") section = "";
    if (std::regex_match(line, match, word)) zsh[section].insert(match[1]);
  }
  std::map<std::string, Names> fish;
  const std::regex name(" -(l|s) ([a-z-]+)");
  const std::regex condition(
      R"(.* -n (?:"not __fish_seen_subcommand_from \$commands"|'__fish_seen_subcommand_from ([a-z]+)') (.*) -d .*)");
  for (const std::string& line :
       lines_of(read_bytes(prefix() / "share/fish/vendor_completions.d/qwen3vl-export.fish"))) {
    std::smatch of;
    if (!std::regex_match(line, of, condition)) continue;
    const std::string rest = " " + of[2].str();
    for (std::sregex_iterator match(rest.begin(), rest.end(), name), end; match != end; ++match)
      fish[of[1]].insert(((*match)[1] == "l" ? "--" : "-") + (*match)[2].str());
  }
  for (const std::string& command : commands()) {
    expect_options("zsh's completion", command, zsh[command]);
    expect_options("fish's completion", command, fish[command]);
  }
}

TEST_F(Install, ZshReadsItsCompletion) {
  if (!have("zsh")) GTEST_SKIP() << "zsh is not here: its completion is not read";
  run_well({"zsh", "-n", prefix() / "share/zsh/site-functions/_qwen3vl-export"});
}

TEST_F(Install, FishCompletes) {
  if (!have("fish")) GTEST_SKIP() << "fish is not here: its completion is not run";
  const std::string script = prefix() / "share/fish/vendor_completions.d/qwen3vl-export.fish";
  const auto offers = [&](const std::string& line) {
    return run_well({"fish", "--no-config", "-c", "source $argv[1]; complete -C $argv[2]", script, line}).out;
  };
  EXPECT_THAT(offers("qwen3vl-export pla"), StartsWith("plan\t"));
  EXPECT_THAT(offers("qwen3vl-export plan --recipe w8"), StartsWith("w8a8"));
  EXPECT_THAT(offers("qwen3vl-export plan --js"), StartsWith("--json\t"));
  EXPECT_THAT(offers("qwen3vl-export --js"), Not(HasSubstr("--json")));
}

TEST_F(Install, TheDebianPackageRuns) {
  if (!have("dpkg-shlibdeps && command -v file")) GTEST_SKIP() << "dpkg-dev or file is not here: no .deb is made";
  const fs::path made = *folder_ / "deb";
  run_well({"cpack", "--config", kBuild / "CPackConfig.cmake", "-B", made});
  fs::path package;
  for (const fs::directory_entry& entry : fs::directory_iterator(made))
    if (entry.path().extension() == ".deb") package = entry.path();
  ASSERT_FALSE(package.empty());
  const std::string fields = run_well({"dpkg-deb", "--info", package}).out;
  EXPECT_THAT(fields, HasSubstr("Package: qwen3vl-export\n"));
  EXPECT_THAT(fields, HasSubstr("libtorch1"));
  EXPECT_THAT(fields, HasSubstr("libonnx1"));
  EXPECT_THAT(fields, HasSubstr("libc6 (>="));
  const fs::path root = *folder_ / "root";
  run_well({"dpkg-deb", "--extract", package, root});
  Names expected;
  for (std::string name : files_below(prefix())) {
    if (name.starts_with("share/man/")) name += ".gz";
    if (name.starts_with("share/zsh/")) name = "share/zsh/vendor-completions/_qwen3vl-export";
    expected.insert("usr/" + name);
  }
  EXPECT_EQ(files_below(root), expected);
  const std::string extracted = root / "usr/bin/qwen3vl-export";
  run_well({extracted, kCheckpoint, "-o", *folder_ / "by_deb", "-q"});
  run_well({extracted, "check", *folder_ / "by_deb", "-q"});
}

TEST_F(Install, TheSampleMakefileMakesWhatChanged) {
  if (!have("make")) GTEST_SKIP() << "make is not here: the sample Makefile is not run";
  const fs::path work = *folder_ / "work";
  fs::create_directory(work);
  fs::copy(kCheckpoint, work / "checkpoint");
  fs::copy(prefix() / "share/qwen3vl-export/recipes/int4.json", work / "own.json");
  const auto make = [&](const Arguments& more = {}) {
    Arguments arguments = {"SOURCE_DATE_EPOCH=1000000000",
                           "make",
                           "-C",
                           work,
                           "-f",
                           kSource / "docs/examples/Makefile",
                           "CHECKPOINT=checkpoint",
                           "RECIPE=own.json",
                           "VERIFY_OPTIONS=--checks graph",
                           "QWEN3VL_EXPORT=" + program()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_well(arguments).out;
  };
  const std::string out = make();
  EXPECT_THAT(out, HasSubstr("checkpoint -o checkpoint-own --recipe own.json"));
  EXPECT_THAT(out, HasSubstr("verify checkpoint-own"));
  EXPECT_TRUE(fs::exists(work / "checkpoint-own/manifest.json"));
  EXPECT_THAT(read_bytes(work / "checkpoint-own.verified"), HasSubstr("is proven"));
  const auto made_again = [](const std::string& output) { return output.find(" -o ") != std::string::npos; };
  EXPECT_FALSE(made_again(make())) << "nothing has changed";
  for (const char* input : {"own.json", "checkpoint/config.json"}) {
    fs::last_write_time(work / input, fs::file_time_type::clock::now());
    EXPECT_TRUE(made_again(make())) << input;
    EXPECT_FALSE(made_again(make())) << input;
  }
  EXPECT_TRUE(made_again(make({"OPTIONS=--logits all"})));
  EXPECT_FALSE(made_again(make({"OPTIONS=--logits all"})));
}

}  // namespace
}  // namespace q3vl::install_test
