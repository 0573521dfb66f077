// The floor that exports are held against writes what it is asked to, or says why not.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "support/command.h"
#include "support/temporary_folder.h"

namespace q3vl::copy_floor_test {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr std::size_t kMoreThanABlock = (8U << 20) + 4321;

/// Copies `input` into `output` with the options, and returns what came of it.
CommandResult copy(const fs::path& input, const fs::path& output, std::vector<std::string> options) {
  std::vector<std::string> arguments = {Q3VL_COPY_FLOOR, input, "--output", output};
  arguments.insert(arguments.end(), options.begin(), options.end());
  return run_command(arguments);
}

TEST(CopyFloor, WritesAsManyBytesAsAskedFor) {
  const TemporaryFolder folder;
  write_bytes(folder / "input", std::string(kMoreThanABlock, 'x'));
  write_bytes(folder / "empty", "");
  for (const char* input : {"input", "empty"})
    for (const std::uint64_t bytes :
         {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{12345678}, std::uint64_t{20000000}})
      for (const bool overlap : {false, true}) {
        std::vector<std::string> options = {"--bytes", std::to_string(bytes)};
        if (overlap) options.emplace_back("--overlap");
        const CommandResult result = copy(folder / input, folder / "output", options);
        EXPECT_EQ(result.exit_code, 0) << result.err;
        EXPECT_EQ(fs::file_size(folder / "output"), bytes) << input;
        fs::remove(folder / "output");
      }
}

TEST(CopyFloor, MissingInputIsRefused) {
  const TemporaryFolder folder;
  const CommandResult result = copy(folder / "missing", folder / "output", {"--bytes", "1"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("missing: cannot open: No such file or directory"));
  EXPECT_FALSE(fs::exists(folder / "output"));
}

TEST(CopyFloor, OutputThatIsThereIsLeftAlone) {
  const TemporaryFolder folder;
  write_bytes(folder / "input", "input");
  write_bytes(folder / "output", "precious");
  EXPECT_EQ(copy(folder / "input", folder / "output", {"--bytes", "1"}).exit_code, 1);
  EXPECT_EQ(read_bytes(folder / "output"), "precious");
}

}  // namespace
}  // namespace q3vl::copy_floor_test
