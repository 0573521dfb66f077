#include "calibration/calibration_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <set>

#include "base/json.h"
#include "config/image_config.h"
#include "image/model_image.h"
#include "prompt/token_ids.h"
#include "qwen3vl_export/error.h"

namespace q3vl {
namespace {

namespace fs = std::filesystem;

std::string lower_extension(const fs::path& path) {
  std::string extension = path.extension().string();
  for (char& letter : extension) letter = static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
  return extension;
}

bool is_picture(const fs::path& path) {
  const std::string extension = lower_extension(path);
  return extension == ".png" || extension == ".jpg" || extension == ".jpeg";
}

std::vector<fs::path> files_in(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> files;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error))
    if (entry->is_regular_file()) files.push_back(entry->path());
  if (error)
    throw Error(ErrorKind::usage, fmt::format("{}: cannot be read as a folder of calibration data: {}", folder.string(),
                                              error.message()));
  std::sort(files.begin(), files.end());
  return files;
}

class Reader {
 public:
  Reader(fs::path folder, fs::path checkpoint, const ModelConfig& config, std::int64_t max_pixels)
      : folder_(std::move(folder)),
        checkpoint_(std::move(checkpoint)),
        config_(config),
        tokens_(prompt_tokens(config)),
        max_pixels_(max_pixels) {}

  std::vector<Prompt> read() {
    const std::vector<fs::path> files = files_in(folder_);
    std::vector<std::pair<fs::path, Json>> documents;
    std::set<fs::path> named;  // the pictures in JSON files, which are no prompts of their own
    for (const fs::path& path : files)
      if (lower_extension(path) == ".json") {
        documents.emplace_back(path, read_json_file(path, kDataJson));
        collect_images(documents.back().second, named);
      }
    auto document = documents.cbegin();
    for (const fs::path& path : files) {
      if (document != documents.cend() && document->first == path)
        add_document(*document++);
      else if (is_picture(path) && !named.contains(path.lexically_normal()))
        add_picture(path);
    }
    if (prompts_.empty())
      throw Error(ErrorKind::usage, fmt::format("{}: holds no calibration data; expected .json files with token ids, "
                                                "or pictures (.png, .jpg, .jpeg)",
                                                folder_.string()));
    return std::move(prompts_);
  }

 private:
  /// What a document names, wherever it is sound enough to be read; its faults are found when it is added.
  void collect_images(const Json& document, std::set<fs::path>& named) const {
    if (!document.is_object()) return;
    if (const auto images = document.find("images"); images != document.end() && images->is_array())
      for (const Json& image : *images)
        if (image.is_string()) named.insert((folder_ / image.get<std::string>()).lexically_normal());
    if (const auto sequences = document.find("sequences"); sequences != document.end() && sequences->is_array())
      for (const Json& sequence : *sequences) collect_images(sequence, named);
  }

  void add_document(const std::pair<fs::path, Json>& document) {
    const std::string origin = document.first.string();
    const JsonObject root(document.second, origin);
    if (!root.has("sequences")) {
      if (!root.has("input_ids")) root.fail("has neither \"sequences\" nor \"input_ids\"; expected one of them");
      return add_sequence(root);
    }
    const Json& sequences = root.json().at("sequences");
    if (!sequences.is_array()) root.fail(fmt::format("sequences is {}, expected an array", describe(sequences)));
    for (std::size_t i = 0; i < sequences.size(); ++i)
      add_sequence(JsonObject(sequences[i], origin, fmt::format("sequences[{}]", i)));
  }

  void add_sequence(const JsonObject& sequence) {
    const std::vector<std::int64_t> ids = read_token_ids(sequence, config_.text);
    const std::string path = sequence.path_of("input_ids");
    if (const auto video = std::ranges::find(ids, tokens_.video_token_id); video != ids.end())
      sequence.fail(
          fmt::format("{}[{}] is {}, the placeholder of videos, which are not read here; give frames as images", path,
                      video - ids.begin(), *video));
    const std::vector<std::string> names = image_names(sequence);
    if (!names.empty()) expect_vision(folder_ / names.front());
    const auto placeholders = static_cast<std::size_t>(std::ranges::count(ids, tokens_.image_token_id));
    if (placeholders != names.size())
      sequence.fail(
          fmt::format("{} has {} image placeholders (token {}), but {} pictures are named; expected one a "
                      "picture",
                      path, placeholders, tokens_.image_token_id, names.size()));
    Prompt prompt;
    for (const std::int64_t id : ids) {
      if (id != tokens_.image_token_id) {
        prompt.input_ids.push_back(id);
        continue;
      }
      prompt.pictures.push_back({read_picture(folder_ / names[prompt.pictures.size()])});
      append_placeholders(prompt);
    }
    const auto length = static_cast<std::int64_t>(prompt.input_ids.size());
    if (length > kCalibrationLength && !prompt.pictures.empty())
      sequence.fail(
          fmt::format("{} is {} tokens long with its pictures, expected at most {}", path, length, kCalibrationLength));
    if (length > kCalibrationLength) prompt.input_ids.resize(kCalibrationLength);
    try {
      prompt_positions(tokens_, prompt);
    } catch (const Error& error) {
      sequence.fail(fmt::format("{}: {}", path, error.what()));
    }
    prompts_.push_back(std::move(prompt));
  }

  static std::vector<std::string> image_names(const JsonObject& sequence) {
    std::vector<std::string> names;
    if (!sequence.has("images")) return names;
    const Json& values = sequence.json().at("images");
    const std::string path = sequence.path_of("images");
    if (!values.is_array())
      sequence.fail(fmt::format("{} is {}, expected an array of file names", path, describe(values)));
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (!values[i].is_string())
        sequence.fail(fmt::format("{}[{}] is {}, expected a file name", path, i, describe(values[i])));
      names.push_back(values[i].get<std::string>());
    }
    return names;
  }

  void add_picture(const fs::path& path) {
    Prompt prompt{.input_ids = {}, .pictures = {{read_picture(path)}}};
    prompt.input_ids.push_back(*config_.vision_start_token_id);
    append_placeholders(prompt);
    prompt.input_ids.push_back(*config_.vision_end_token_id);
    const auto length = static_cast<std::int64_t>(prompt.input_ids.size());
    if (length > kCalibrationLength)
      throw Error(ErrorKind::bad_input,
                  fmt::format("{}: takes {} tokens, expected at most {}", path.string(), length, kCalibrationLength));
    prompts_.push_back(std::move(prompt));
  }

  /// The placeholders of the last picture.
  void append_placeholders(Prompt& prompt) const {
    const std::int64_t count = prompt.pictures.back().patches.grid.patches() / config_.vision->merge_unit();
    prompt.input_ids.insert(prompt.input_ids.end(), static_cast<std::size_t>(count), tokens_.image_token_id);
  }

  void expect_vision(const fs::path& path) const {
    if (!config_.vision)
      throw Error(ErrorKind::usage,
                  fmt::format("{}: is a picture, but {} is a language model, which sees none; expected .json files "
                              "with token ids",
                              path.string(), checkpoint_.string()));
  }

  Patches read_picture(const fs::path& path) {
    expect_vision(path);
    if (!settings_) settings_ = read_image_config(checkpoint_, *config_.vision);
    const RgbImage image = read_model_image(path, *settings_, std::min(max_pixels_, settings_->max_pixels));
    return image_patches({&image, 1}, *settings_);
  }

  fs::path folder_;
  fs::path checkpoint_;
  const ModelConfig& config_;
  PromptTokens tokens_;
  std::int64_t max_pixels_;
  std::optional<ImageConfig> settings_;  // read with the first picture
  std::vector<Prompt> prompts_;
};

}  // namespace

std::vector<Prompt> read_calibration_data(const fs::path& folder, const fs::path& checkpoint, const ModelConfig& config,
                                          std::int64_t max_pixels) {
  return Reader(folder, checkpoint, config, max_pixels).read();
}

std::int64_t count_tokens(const std::vector<Prompt>& prompts) {
  std::size_t count = 0;
  for (const Prompt& prompt : prompts) count += prompt.input_ids.size();
  return static_cast<std::int64_t>(count);
}

std::string describe_data(const std::vector<Prompt>& prompts) {
  Fingerprint fingerprint;
  for (const Prompt& prompt : prompts) {
    const std::array<std::size_t, 2> counts = {prompt.input_ids.size(), prompt.pictures.size()};
    fingerprint.add(std::as_bytes(std::span(counts)));
    fingerprint.add(std::as_bytes(std::span(prompt.input_ids)));
    for (const PromptPicture& picture : prompt.pictures) {
      fingerprint.add(std::as_bytes(std::span(&picture.patches.grid, 1)));
      fingerprint.add(std::as_bytes(std::span(picture.patches.pixel_values)));
    }
  }
  return fmt::format("{} sequences, fingerprint {}", prompts.size(), fingerprint.text());
}

void Fingerprint::add(std::span<const std::byte> bytes) {
  for (const std::byte byte : bytes) hash_ = (hash_ ^ static_cast<std::uint64_t>(byte)) * 0x100000001b3U;
}

std::string Fingerprint::text() const {
  return fmt::format("{:016x}", hash_);
}

}  // namespace q3vl
