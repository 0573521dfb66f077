// Checkpoints and their packages that tests of `qwen3vl-export verify` share, and copies that they may change.
#pragma once

#include <gtest/gtest.h>
#include <onnx/onnx_pb.h>

#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/command.h"
#include "support/odd_model.h"
#include "support/temporary_folder.h"
#include "support/test_data.h"
#include "synth/synth_checkpoint.h"

namespace q3vl {

inline constexpr int kVerificationFailed = 6;

/// A folder for checkpoints and packages that several tests look at and none changes.
inline const std::filesystem::path& shared_folder() {
  static const TemporaryFolder folder;
  return folder.path();
}

/// A checkpoint by name: "tiny-a", or one of random weights.
inline std::filesystem::path checkpoint(const std::string& name) {
  if (name == "tiny-a" || name == "shapes") return test::data_path(name + "/checkpoint");
  const std::filesystem::path path = shared_folder() / ("checkpoint-" + name);
  if (std::filesystem::exists(path)) return path;
  if (name == "plain Qwen3") {
    const CommandResult result =
        run_command({Q3VL_EXPORT_BINARY, "extract", checkpoint("odd"), "-o", path, "--module", "language_model", "-q"});
    if (result.exit_code != 0) throw std::runtime_error("the extraction failed: " + result.err);
    return path;
  }
  SynthOptions options = name == "odd" ? odd_model(2) : SynthOptions{.model = synth_preset("tiny")};
  if (name == "tiny seed 1") options.seed = 1;
  write_synthetic_checkpoint(options, path);
  if (name == "stretched") {
    nlohmann::json config = nlohmann::json::parse(read_bytes(path / "config.json"));
    config["text_config"]["rope_scaling"].update(
        {{"rope_type", "yarn"}, {"factor", 4}, {"original_max_position_embeddings", 64}});
    write_bytes(path / "config.json", config.dump());
  }
  return path;
}

using Flags = std::vector<std::string>;

/// The package that the exporter makes of it; each is written once.
inline const std::filesystem::path& package(const std::string& name, const Flags& flags = {}) {
  static std::map<std::pair<std::string, Flags>, std::filesystem::path> packages;
  const auto [entry, is_new] = packages.try_emplace({name, flags}, shared_folder() / std::to_string(packages.size()));
  if (is_new) {
    std::vector<std::string> command = {Q3VL_EXPORT_BINARY, checkpoint(name), "-o",   entry->second,
                                        "--quiet",          "--layout",       "genai"};
    command.insert(command.end(), flags.begin(), flags.end());
    const CommandResult result = run_command(command);
    if (result.exit_code != 0) throw std::runtime_error("the export failed: " + result.err);
  }
  return entry->second;
}

inline CommandResult verify(const std::filesystem::path& folder, const std::string& name, const Flags& flags = {}) {
  std::vector<std::string> command = {Q3VL_EXPORT_BINARY, "verify", folder, "--checkpoint", checkpoint(name), "-q"};
  command.insert(command.end(), flags.begin(), flags.end());
  return run_command(command);
}

inline nlohmann::json verify_json(const std::filesystem::path& folder, const std::string& name, Flags flags,
                                  int exit_code) {
  flags.emplace_back("--json");
  const CommandResult result = verify(folder, name, flags);
  EXPECT_EQ(result.exit_code, exit_code) << result.err << result.out;
  return nlohmann::json::parse(result.out, nullptr, /*allow_exceptions=*/false);
}

inline std::string joined(const nlohmann::json& findings) {
  std::string text;
  for (const nlohmann::json& finding : findings) text += finding.get<std::string>() + "\n";
  return text;
}

/// A copy of a package that a test may change.
class Changed {
 public:
  explicit Changed(const std::filesystem::path& original) : path_(folder_ / "package") {
    std::filesystem::copy(original, path_, std::filesystem::copy_options::recursive);
  }

  const std::filesystem::path& path() const { return path_; }

  onnx::ModelProto model(const std::string& file) const {
    onnx::ModelProto message;
    if (!message.ParseFromString(read_bytes(path_ / file))) throw std::runtime_error(file + " cannot be parsed");
    return message;
  }
  void write(const std::string& file, const onnx::ModelProto& message) const {
    write_bytes(path_ / file, message.SerializeAsString());
  }
  void edit(const std::string& file, const std::function<void(onnx::GraphProto&)>& change) const {
    onnx::ModelProto message = model(file);
    change(*message.mutable_graph());
    write(file, message);
  }

 private:
  TemporaryFolder folder_;
  std::filesystem::path path_;
};

}  // namespace q3vl
