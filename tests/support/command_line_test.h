// What tests of a command line share: a checkpoint of random weights in a folder of the test's own, and refusals that
// must leave every file as it was.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "support/command.h"
#include "support/temporary_folder.h"
#include "synth/synth_checkpoint.h"

namespace q3vl {

/// Every file below `folder` with its bytes.
inline std::map<std::string, std::string> tree(const std::filesystem::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder))
    if (entry.is_regular_file()) files[std::filesystem::relative(entry.path(), folder)] = read_bytes(entry.path());
  return files;
}

/// The SHA-256 of a file, by another program than the one under test.
inline std::string sha256sum(const std::filesystem::path& path) {
  const CommandResult result = run_command({"/usr/bin/sha256sum", "--", path});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  return result.out.substr(0, 64);
}

/// For SynthOptions::edit_tensors: changes the list at the tensor called `name`, which must be there.
inline std::function<void(std::vector<SynthTensor>&)> on(
    const std::string& name, const std::function<void(std::vector<SynthTensor>&, std::size_t)>& edit) {
  return [=](std::vector<SynthTensor>& tensors) {
    const auto found =
        std::find_if(tensors.begin(), tensors.end(), [&](const SynthTensor& t) { return t.name == name; });
    ASSERT_NE(found, tensors.end()) << name;
    edit(tensors, static_cast<std::size_t>(found - tensors.begin()));
  };
}

class CommandLineTest : public testing::Test {
 protected:
  static SynthOptions tiny() { return {.model = synth_preset("tiny")}; }

  void make(const SynthOptions& options) { write_synthetic_checkpoint(options, checkpoint_); }

  void edit_json(const std::string& name, const std::function<void(nlohmann::json&)>& edit) {
    nlohmann::json document = nlohmann::json::parse(read_bytes(checkpoint_ / name));
    edit(document);
    std::ofstream(checkpoint_ / name) << document.dump();
  }

  /// The command fails with this code and message, and says nothing else; every file is as it was.
  void expect_refused(const std::vector<std::string>& command, int code, const std::string& message) const {
    const auto before = tree(folder_);
    const CommandResult result = run_command(command);
    EXPECT_EQ(result.exit_code, code);
    EXPECT_EQ(result.err, "qwen3vl-export: " + message + "\n");
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(tree(folder_), before);
    EXPECT_FALSE(std::filesystem::exists(out_.string() + ".partial"));
  }

  /// The path of the checkpoint, or of a file in it, as messages say it.
  std::string c(const std::string& name = "") const {
    return (name.empty() ? checkpoint_ : checkpoint_ / name).string();
  }

  TemporaryFolder temporary_;
  std::filesystem::path folder_ = temporary_.path();
  std::filesystem::path checkpoint_ = folder_ / "checkpoint";
  std::filesystem::path out_ = folder_ / "out";
};

}  // namespace q3vl
