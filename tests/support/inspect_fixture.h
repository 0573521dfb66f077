// `qwen3vl-export inspect` as its users call it.
#pragma once

#include "support/command_line_test.h"

namespace q3vl {

inline constexpr std::int64_t kHidden = 128;              // of the preset "tiny"
inline constexpr std::int64_t kFeatures = (1 + 3) * 128;  // (1+D)·H
inline constexpr std::int64_t kVocabulary = 2048;
inline constexpr std::size_t kMaxFindings = 20;  // that the text form shows

inline std::vector<std::string> keys(const nlohmann::json& object) {
  std::vector<std::string> names;
  for (const auto& item : object.items()) names.push_back(item.key());
  return names;  // in the order of the alphabet
}

class Inspect : public CommandLineTest {
 protected:
  void make_package(std::vector<std::string> arguments = {}) {
    make(tiny());
    arguments.insert(arguments.begin(),
                     {Q3VL_EXPORT_BINARY, checkpoint_.string(), "-o", out_.string(), "-q", "--layout", "genai"});
    const CommandResult result = run_command(arguments);
    ASSERT_EQ(result.exit_code, 0) << result.err;
  }

  static CommandResult run(const std::filesystem::path& folder, const std::vector<std::string>& arguments = {}) {
    std::vector<std::string> all = {Q3VL_EXPORT_BINARY, "inspect", folder.string()};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return run_command(all);
  }

  /// The report as JSON; the exit code must say whether there are findings, and both forms must agree on it.
  static nlohmann::json report(const std::filesystem::path& folder, std::vector<std::string> arguments = {}) {
    const CommandResult text = run(folder, arguments);
    arguments.emplace_back("--json");
    const CommandResult result = run(folder, arguments);
    EXPECT_EQ(result.err, "");
    nlohmann::json document = nlohmann::json::parse(result.out);
    const bool sound = document["findings"].empty();
    EXPECT_EQ(result.exit_code, sound ? 0 : 3) << result.out;
    EXPECT_EQ(text.exit_code, result.exit_code);
    EXPECT_EQ(text.err, "");
    EXPECT_EQ(text.out.find("findings: none\n") != std::string::npos, sound) << text.out;
    for (std::size_t i = 0; i < std::min(document["findings"].size(), kMaxFindings); ++i) {
      const nlohmann::json& finding = document["findings"][i];
      EXPECT_NE(text.out.find(finding["kind"].get<std::string>() + ": " + finding["message"].get<std::string>() + "\n"),
                std::string::npos)
          << finding << text.out;
    }
    return document;
  }

  static nlohmann::json findings(const std::filesystem::path& folder) { return report(folder)["findings"]; }

  static void expect_refusal(const std::filesystem::path& folder, const std::string& message) {
    const CommandResult result = run(folder);
    EXPECT_EQ(result.exit_code, 3);
    EXPECT_EQ(result.err, "qwen3vl-export: " + message + "\n");
    EXPECT_EQ(result.out, "");
  }
};

}  // namespace q3vl
